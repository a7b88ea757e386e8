"""The OCI layout: what its index says of an exported image, and type=oci,tar=false.

oci-layout · index.json · blobs/sha256/<hex>…        (image-spec image-layout.md)
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import DocumentError, ExportError
from builder.exporters.destination import copy_blob, export_errors, replacing, write_fully
from builder.oci.descriptor import CONTAINERD_NAME, REF_NAME, Descriptor
from builder.oci.index import Index, parse_index
from builder.store.images import closure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.exporters.exporter import StoredImage

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_UNNAMED = "latest"  # umoci and skopeo can address only what has a ref.name


def entries(image: StoredImage) -> tuple[Descriptor, ...]:
    """The index entries of an image: one a name, and one for an image without a name."""
    given = image.manifest
    target = given.plain()._replace(platform=given.platform, annotations=given.annotations)
    named = tuple(
        target.annotated((CONTAINERD_NAME, str(name)), (REF_NAME, name.tag))
        for name in (name.or_latest() for name in image.names)
        if name.tag
    )
    return named or (target.annotated((REF_NAME, given.annotation(REF_NAME) or _UNNAMED)),)


class LayoutExporter:
    """Writes a layout directory, or adds the image to the one that is there: other tags are kept."""

    def __init__(self, dest: str) -> None:
        self._dest = dest

    def export(self, image: StoredImage, stdout: BinaryIO) -> None:
        del stdout
        with export_errors(self._dest):
            os.makedirs(self._dest, exist_ok=True)
            with _locked(self._dest):
                self._prepare()
                for blob in closure(image.blobs, image.manifest):
                    self._add(image, blob)
                index = self._merged(entries(image))
                with replacing(f"{self._dest}/index.json") as file:
                    write_fully(file, index.encode())

    def _prepare(self) -> None:
        """Make the directories. A link in the place of one could lead the blobs anywhere: refused."""
        if not os.path.exists(f"{self._dest}/oci-layout"):
            if os.listdir(self._dest):
                hint = "name a new or empty directory, or an OCI layout to add the image to"
                raise ExportError(f"{self._dest} holds other things than an OCI layout", hint=hint)
            with replacing(f"{self._dest}/oci-layout") as file:
                write_fully(file, LAYOUT)
        for name in ("blobs", "blobs/sha256"):
            path = f"{self._dest}/{name}"
            if os.path.islink(path):
                raise ExportError(f"{path} is a symbolic link", hint="name a new or empty directory")
            os.makedirs(path, exist_ok=True)

    def _add(self, image: StoredImage, blob: Descriptor) -> None:
        path = f"{self._dest}/blobs/{blob.digest.replace(':', '/')}"
        if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) == blob.size:
            return
        with replacing(path) as file:
            copy_blob(image.blobs, blob, file)

    def _merged(self, new: tuple[Descriptor, ...]) -> Index:
        try:
            with open(f"{self._dest}/index.json", "rb") as file:
                index = parse_index(file.read())
        except FileNotFoundError:
            index = Index(())
        except DocumentError as error:
            raise ExportError(f"{self._dest}/index.json: {error.message}") from error
        tags = {entry.annotation(REF_NAME) for entry in new}
        others = tuple(entry for entry in index.manifests if entry.annotation(REF_NAME) not in tags)
        return index._replace(manifests=(*others, *new))


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Two builds may add to one layout at a time; the lock is on the directory, so it leaves no file."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
