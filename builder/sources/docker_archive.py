"""Images of a `docker save` archive without an OCI index: manifest.json, configs and layer tars.

    [{"Config": "<hex>.json", "RepoTags": ["golang:1.21"], "Layers": ["<id>/layer.tar", …]}]

The config keeps its bytes, and so the image its ID; the manifest is made anew.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from builder.errors import ArchiveError
from builder.oci import mediatypes
from builder.oci.config import parse_config
from builder.oci.json import Fields, decode_any
from builder.oci.manifest import Manifest
from builder.oci.reference import parse_reference

if TYPE_CHECKING:
    from builder.oci.descriptor import Descriptor
    from builder.sources.contents import Contents
    from builder.store.blobs import Blobs

_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MAGIC = {b"\x1f\x8b": mediatypes.LAYER_GZIP, b"\x28\xb5\x2f\xfd": mediatypes.LAYER_ZSTD}


def from_archive(contents: Contents, blobs: Blobs) -> list[tuple[str, Descriptor]]:
    described = decode_any(contents.documents["manifest.json"], "manifest.json")
    if not isinstance(described, list):
        raise ArchiveError("manifest.json is not a list of images")
    found = []
    for number, entry in enumerate(described):
        fields = Fields(entry, f"manifest.json[{number}]")
        manifest = _manifest(fields, contents, blobs)
        found += [(name, manifest) for name in _names(fields) or [""]]
        fields.rest()  # for its faults; LayerSources and the like tell us nothing
    return found


def _names(fields: Fields) -> list[str]:
    return [str(parse_reference(name).or_latest()) for name in fields.texts("RepoTags") or ()]


def _manifest(fields: Fields, contents: Contents, blobs: Blobs) -> Descriptor:
    """Store a manifest of the config and the layers, each of which has to be what the config says."""
    config, diff_ids = _config(fields.required("Config"), contents, blobs)
    names = fields.texts("Layers") or ()
    if len(names) != len(diff_ids):
        raise ArchiveError(f"{len(names)} layers, but {len(diff_ids)} diff ids in the config")
    layers = tuple(
        _layer(name, contents.blob(name), diff_id, blobs) for name, diff_id in zip(names, diff_ids, strict=True)
    )
    return blobs.put_bytes(mediatypes.MANIFEST, Manifest(config, layers).encode())


def _config(name: str, contents: Contents, blobs: Blobs) -> tuple[Descriptor, tuple[str, ...]]:
    config = contents.blob(name)._replace(media_type=mediatypes.CONFIG)
    stem = posixpath.basename(name).removesuffix(".json")
    if _HEX.fullmatch(stem) and config.digest != f"sha256:{stem}":
        raise ArchiveError(f"{name!r} is damaged: its bytes are {config.digest}")
    return config, parse_config(blobs.read(config)).diff_ids


def _layer(name: str, blob: Descriptor, diff_id: str, blobs: Blobs) -> Descriptor:
    """The layer's descriptor. A plain tar is checked here, a compressed one when it is unpacked."""
    if blob.digest == diff_id:
        return blob._replace(media_type=mediatypes.LAYER)
    with open(blobs.path(blob.digest), "rb") as file:
        head = file.read(4)
    for magic, media_type in _MAGIC.items():
        if head.startswith(magic):
            return blob._replace(media_type=media_type)
    raise ArchiveError(f"layer {name!r} is {blob.digest}, the config says {diff_id}")
