"""Reading the documents of an image out of the store's blobs."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from builder.errors import DocumentError, NotFound
from builder.oci import mediatypes
from builder.oci.config import ImageConfig, parse_config
from builder.oci.descriptor import Descriptor
from builder.oci.index import parse_index
from builder.oci.manifest import Manifest, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.oci.platform import Platform
    from builder.store.blobs import Blobs

_UNKNOWN = "application/octet-stream"
_DEPTH = 4  # an index may hold indexes, but not without end


class PlatformMissing(NotFound):
    """An index that has no image for the platform; the hint tells which it has."""


@contextmanager
def naming(image: str) -> Iterator[None]:
    """Tells of several images which is not there for the platform."""
    try:
        yield
    except PlatformMissing as error:
        raise PlatformMissing(f"{image}: {error.message}", hint=error.hint) from error


class Documents(Protocol):
    """Whoever has the bytes of a document; `store.blobs.Blobs` is one."""

    def read(self, descriptor: Descriptor) -> bytes: ...


def choose_manifest(blobs: Documents, descriptor: Descriptor, platform: Platform) -> Descriptor:
    """The manifest for `platform` that the descriptor of a manifest or index leads to.

    PlatformMissing if an index has none that suits. A manifest is taken as it is, whatever its platform.
    """
    for _ in range(_DEPTH):
        if descriptor.media_type not in mediatypes.INDEXES:
            return descriptor
        index = parse_index(blobs.read(descriptor), descriptor.media_type)
        chosen = index.choose(platform)
        if chosen is None:
            offered = ", ".join(str(entry) for entry in index.platforms()) or "nothing"
            raise PlatformMissing(f"the image is not there for {platform}", hint=f"it is there for {offered}")
        descriptor = chosen
    raise DocumentError(f"indexes within indexes, deeper than {_DEPTH}")


def describe_document(blobs: Blobs, digest: str) -> Descriptor | None:
    """The descriptor of a manifest or index that is in the store, whether it has a name or not; None if it is not."""
    with suppress(OSError, DocumentError):
        descriptor = Descriptor(_UNKNOWN, digest, os.path.getsize(blobs.path(digest)))
        raw = blobs.read(descriptor)
        for parse in (parse_manifest, parse_index):
            with suppress(DocumentError):
                return descriptor._replace(media_type=parse(raw).media_type)
    return None


def read_manifest(blobs: Blobs, descriptor: Descriptor) -> Manifest:
    return parse_manifest(blobs.read(descriptor), descriptor.media_type)


def read_config(blobs: Blobs, manifest: Manifest) -> ImageConfig:
    """The image config; DocumentError if it is none or does not go with the manifest's layers."""
    if manifest.config.media_type not in mediatypes.CONFIGS:
        raise DocumentError(f"not an image: its config is {manifest.config.media_type}")
    config = parse_config(blobs.read(manifest.config))
    if len(config.diff_ids) != len(manifest.layers):
        raise DocumentError(f"{len(manifest.layers)} layers, but {len(config.diff_ids)} diff ids in the config")
    return config


def check_image(blobs: Blobs, manifest: Manifest, *, alone: bool) -> None:
    """DocumentError unless it is an image whose config and sizes go with it, before anybody relies on that.

    Where it is not `alone`, in an index, other things stand beside images: signatures, and what was found out.
    """
    if alone or manifest.config.media_type in mediatypes.CONFIGS:
        read_config(blobs, manifest)
    for layer in manifest.layers:
        if blobs.has(layer.digest) and os.path.getsize(blobs.path(layer.digest)) != layer.size:
            raise DocumentError(f"{layer.digest} has not the announced {layer.size} bytes")


def closure(blobs: Blobs, root: Descriptor) -> tuple[Descriptor, ...]:
    """Every blob that the image needs, each once, in a fixed order: documents before what they name.

    Of an index, the children that are not in the store are left out: archives often hold one
    platform only. Layers that need not be with the image are left out if they are not.
    """
    found: dict[str, Descriptor] = {}
    _visit(blobs, root, found, _DEPTH)
    return tuple(found.values())


def _visit(blobs: Blobs, descriptor: Descriptor, found: dict[str, Descriptor], depth: int) -> None:
    if descriptor.digest in found:
        return
    found[descriptor.digest] = descriptor
    if descriptor.media_type in mediatypes.INDEXES:
        if not depth:
            raise DocumentError(f"indexes within indexes, deeper than {_DEPTH}")
        for child in parse_index(blobs.read(descriptor), descriptor.media_type).manifests:
            if blobs.has(child.digest):
                _visit(blobs, child, found, depth - 1)
    elif descriptor.media_type in mediatypes.MANIFESTS:
        manifest = read_manifest(blobs, descriptor)
        found.setdefault(manifest.config.digest, manifest.config)
        for layer in manifest.layers:
            if blobs.has(layer.digest) or not mediatypes.may_be_absent(layer.media_type):
                found.setdefault(layer.digest, layer)
