"""Images of an OCI layout, in a directory or in an archive (image-spec image-layout.md)."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.errors import ArchiveError, DocumentError, NotFound, StoreError
from builder.oci import mediatypes
from builder.oci.descriptor import CONTAINERD_NAME, REF_NAME, Descriptor
from builder.oci.index import parse_index
from builder.oci.json import decode
from builder.oci.reference import parse_reference
from builder.store.blobs import Blobs
from builder.store.files import read_file
from builder.store.images import check_image, choose_manifest, closure, read_manifest
from builder.store.leases import Lease

if TYPE_CHECKING:
    import io
    from collections.abc import Sequence

    from builder.oci.platform import Platform
    from builder.sources.contents import Contents
    from builder.store.store import Store

Named = tuple[str, Descriptor]


def split_place(text: str) -> tuple[str, str]:
    """`path[:tag][@digest]` as the path and the tag or digest, "" for none. A colon in a folder's name is no tag."""
    path, at, digest = text.partition("@")
    head, colon, tag = path.rpartition(":")
    if colon and "/" not in tag:
        path = head
    else:
        tag = ""
    return path, digest if at else tag


def from_archive(contents: Contents, blobs: Blobs) -> list[Named]:
    """The images of an OCI archive whose members are in the store already; all must be complete."""
    check_layout(contents.documents.get("oci-layout"))
    named = _named(contents.documents["index.json"])
    for _, descriptor in named:
        check_complete(blobs, descriptor)
    return named


def from_directory(path: str, blobs: Blobs) -> list[Named]:
    """Copy every image of a layout directory into the store."""
    layout = LayoutDirectory(path)
    named = _named(layout.index)
    for _, descriptor in named:
        layout.copy(descriptor, blobs)
        check_images(blobs, descriptor)
    return named


def fetch(path: str, wanted: str, store: Store, platform: Platform) -> Descriptor:
    """Copy one image of a layout directory into the store and give its manifest for `platform`.

    `wanted` is a tag, a name or a digest; "" takes the one image that there is. This is the source
    behind `--build-context name=oci-layout://PATH[:TAG|@DIGEST]`. No tag is set.
    """
    from builder.sources.archive import archive_errors

    with archive_errors(path):
        layout = LayoutDirectory(path)
        descriptor = select(parse_index(layout.index).manifests, wanted)
        manifest = choose_manifest(layout, descriptor, platform)
        layout.copy(manifest, store.blobs)
    return manifest.plain()


def select(entries: Sequence[Descriptor], wanted: str) -> Descriptor:
    """The entry of a layout's index that has the tag, name or digest; NotFound names the choices."""
    found = [entry for entry in entries if not wanted or wanted in (entry.digest, *_tags(entry))]
    if len({entry.digest for entry in found}) == 1:
        return found[0]
    choices = ", ".join(sorted({tag for entry in entries for tag in _tags(entry)})) or "no tags"
    problem = "several images" if found else "no image"
    raise NotFound(f"{problem} for {wanted or 'the layout without a tag'!r}", hint=f"there is: {choices}")


def check_layout(raw: bytes | None) -> None:
    if raw is None:
        raise ArchiveError("index.json without oci-layout: not an OCI layout")
    version = decode(raw, "oci-layout").get("imageLayoutVersion")
    if version != "1.0.0":
        raise ArchiveError(f"an OCI layout of version {version!r}, known is '1.0.0'")


def check_complete(blobs: Blobs, root: Descriptor) -> None:
    """Every blob of the image is in the store and as long as announced; ArchiveError names the first not."""
    if not blobs.has(root.digest):
        raise ArchiveError(f"{root.digest} is named but missing")
    for blob in closure(blobs, root):
        if not blobs.has(blob.digest):
            raise ArchiveError(f"{blob.digest} is named but missing")
        if os.path.getsize(blobs.path(blob.digest)) != blob.size:
            raise DocumentError(f"{blob.digest} has not the announced {blob.size} bytes")
    check_images(blobs, root)


def check_images(blobs: Blobs, root: Descriptor) -> None:
    for document in closure(blobs, root):
        if document.media_type in mediatypes.MANIFESTS:
            check_image(blobs, read_manifest(blobs, document), alone=document.digest == root.digest)


class LayoutDirectory(Blobs):
    """The blobs of somebody else's layout directory: only read, and never repaired by removal."""

    def __init__(self, path: str) -> None:
        super().__init__(path, Lease(path))
        os.stat(f"{path}/.")  # OSError for what is no directory
        if not os.path.isfile(f"{path}/oci-layout"):
            raise ArchiveError("a directory, but not an OCI layout: oci-layout is missing")
        check_layout(read_file(f"{path}/oci-layout"))
        self.index = read_file(f"{path}/index.json")

    def reject(self, digest: str, file: io.FileIO) -> StoreError:
        del file
        return StoreError(f"blob {digest} in {self.root} is damaged")

    def copy(self, descriptor: Descriptor, target: Blobs) -> None:
        """Copy the image's blobs that the target lacks, verifying them; what is named comes first."""
        if not self.has(descriptor.digest):
            raise ArchiveError(f"{descriptor.digest} is named but missing")
        for blob in reversed(closure(self, descriptor)):
            if not target.has(blob.digest):
                with self.open(blob.digest) as stream:
                    target.put(stream, blob.media_type, blob.digest, blob.size)


def _named(index: bytes) -> list[Named]:
    """The images of an index with their full names, "" for one without a usable name."""
    kinds = mediatypes.MANIFESTS | mediatypes.INDEXES
    return [
        (_name(entry), entry.plain()._replace(platform=entry.platform))
        for entry in parse_index(index).manifests
        if entry.media_type in kinds
    ]


def _name(entry: Descriptor) -> str:
    """The full name: containerd's annotation, or a ref.name that is one.

    A ref.name may also be a tag alone ("latest"), which says nothing about the repository.
    """
    short = entry.annotation(REF_NAME)
    for name in (entry.annotation(CONTAINERD_NAME), short if ":" in short or "/" in short else ""):
        with suppress(DocumentError):
            if name:
                return str(parse_reference(name).or_latest())
    return ""


def _tags(entry: Descriptor) -> tuple[str, ...]:
    return tuple(filter(None, (entry.annotation(REF_NAME), entry.annotation(CONTAINERD_NAME))))
