"""Archives: type=oci (an OCI layout in a tar), and type=docker (the same with Docker's manifest.json).

    oci-layout · index.json · [manifest.json] · blobs/ · blobs/sha256/ · blobs/sha256/<hex>… sorted

`docker save` has written this form since 25; older Docker, podman and skopeo find all they need
through manifest.json.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import ExportError
from builder.exporters.destination import destination
from builder.exporters.layout import LAYOUT, entries
from builder.exporters.tarstream import TarStream
from builder.oci import mediatypes
from builder.oci.descriptor import CONTAINERD_NAME, REF_NAME
from builder.oci.index import Index, parse_index
from builder.oci.platform import host
from builder.store.images import choose_manifest, closure, read_config, read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.exporters.exporter import StoredImage
    from builder.oci.descriptor import Descriptor


class ArchiveExporter:
    def __init__(self, dest: str, *, docker: bool) -> None:
        self._dest = dest
        self._docker = docker

    def export(self, image: StoredImage, stdout: BinaryIO) -> None:
        self.export_all((image,), stdout)

    def export_all(self, images: Sequence[StoredImage], stdout: BinaryIO) -> None:
        """Several images in one archive; what they share is in it once."""
        if self._docker:
            images = [_of_one_platform(image) for image in images]
        blobs = {blob.digest: (image, blob) for image in images for blob in closure(image.blobs, image.manifest)}
        with destination(self._dest, stdout) as out:
            archive = TarStream(out)
            archive.add_bytes("oci-layout", LAYOUT)
            archive.add_bytes("index.json", Index(_entries(images)).encode())
            if self._docker:
                archive.add_bytes("manifest.json", docker_manifest(images))
            archive.add_directory("blobs/")
            archive.add_directory("blobs/sha256/")
            for digest, (image, blob) in sorted(blobs.items()):
                archive.add_blob(_member(digest), image.blobs, blob)
            archive.finish()


def _of_one_platform(image: StoredImage) -> StoredImage:
    """Docker's manifest.json has no word for platforms: ExportError where the image is there for several."""
    here = [(entry.platform, entry) for entry in _manifests(image) if image.blobs.has(entry.digest)]
    if len(here) > 1:
        raise ExportError(
            f"a docker archive holds one platform, and the image is for {', '.join(str(name) for name, _ in here)}",
            hint="choose one with --platform, or write an OCI archive",
        )
    manifest = here[0][1] if here else choose_manifest(image.blobs, image.manifest, host())
    return image._replace(manifest=manifest)


def _manifests(image: StoredImage) -> tuple[Descriptor, ...]:
    if image.manifest.media_type not in mediatypes.INDEXES:
        return ()
    return parse_index(image.blobs.read(image.manifest), image.manifest.media_type).manifests


def _entries(images: Sequence[StoredImage]) -> tuple[Descriptor, ...]:
    """With the tag as its name; where two images have the same tag, with the whole reference."""
    found = [entry for image in images for entry in entries(image)]
    tags = [entry.annotation(REF_NAME) for entry in found]
    if len(set(tags)) == len(tags):
        return tuple(found)
    return tuple(entry.annotated((REF_NAME, entry.annotation(CONTAINERD_NAME))) for entry in found)


def docker_manifest(images: Sequence[StoredImage]) -> bytes:
    """manifest.json of `docker save`: where the config and layers are, lowest first, and the names."""
    return json.dumps([_described(image) for image in images], separators=(",", ":"), ensure_ascii=False).encode()


def _described(image: StoredImage) -> dict[str, object]:
    manifest = read_manifest(image.blobs, image.manifest)
    read_config(image.blobs, manifest)
    names = (name.or_latest()._replace(digest="") for name in image.names)
    return {
        "Config": _member(manifest.config.digest),
        "RepoTags": [name.familiar() for name in names if name.tag],
        "Layers": [_member(layer.digest) for layer in manifest.layers],
    }


def _member(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
