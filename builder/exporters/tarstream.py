"""A tar of documents and blobs, written from front to back: the same image gives the same bytes."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, BinaryIO

from builder.exporters.destination import copy_blob, write_fully

if TYPE_CHECKING:
    from builder.oci.descriptor import Descriptor
    from builder.store.blobs import Blobs


class TarStream:
    """Owner 0:0, time 0, modes 0644 and 0755, entries in the order of the calls."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def add_directory(self, name: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        self._header(entry)

    def add_bytes(self, name: str, content: bytes) -> None:
        self._file(name, len(content))
        write_fully(self._out, content)
        self._pad(len(content))

    def add_blob(self, name: str, blobs: Blobs, blob: Descriptor) -> None:
        self._file(name, blob.size)
        copy_blob(blobs, blob, self._out)
        self._pad(blob.size)

    def finish(self) -> None:
        """Two empty blocks, and no filling up to a record: nothing reads archives from tapes."""
        write_fully(self._out, bytes(2 * tarfile.BLOCKSIZE))

    def _file(self, name: str, size: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = size
        self._header(entry)

    def _header(self, entry: tarfile.TarInfo) -> None:
        # GNU's form is ustar for all names here, and has room for sizes of 8 GiB and more.
        write_fully(self._out, entry.tobuf(tarfile.GNU_FORMAT))

    def _pad(self, size: int) -> None:
        write_fully(self._out, bytes(-size % tarfile.BLOCKSIZE))
