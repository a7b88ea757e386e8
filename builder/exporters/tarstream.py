"""A tar of documents and blobs, written from front to back: the same image gives the same bytes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

from builder.exporters.destination import copy_blob, write_fully

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator

    from builder.oci.descriptor import Descriptor
    from builder.store.blobs import Blobs


_BLOCK = 512
_GNU: Final = 1  # tarfile.GNU_FORMAT


class TarStream:
    """Owner 0:0, time 0, modes 0644 and 0755, entries in the order of the calls."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def add_directory(self, name: str) -> None:
        entry = _entry(name)
        entry.type, entry.mode = b"5", 0o755
        self._header(entry)

    def add_bytes(self, name: str, content: bytes) -> None:
        self._file(name, len(content))
        write_fully(self._out, content)
        self._pad(len(content))

    def add_blob(self, name: str, blobs: Blobs, blob: Descriptor) -> None:
        with self.member(name, blob.size):
            copy_blob(blobs, blob, self._out)

    @contextmanager
    def member(self, name: str, size: int) -> Iterator[None]:
        """A file of which exactly `size` bytes are written inside the block."""
        self._file(name, size)
        yield
        self._pad(size)

    def finish(self) -> None:
        """Two empty blocks, and no filling up to a record: nothing reads archives from tapes."""
        write_fully(self._out, bytes(2 * _BLOCK))

    def _file(self, name: str, size: int) -> None:
        entry = _entry(name)
        entry.size = size
        self._header(entry)

    def _header(self, entry: tarfile.TarInfo) -> None:
        # GNU's form is ustar for all names here, and has room for sizes of 8 GiB and more.
        write_fully(self._out, entry.tobuf(_GNU))

    def _pad(self, size: int) -> None:
        write_fully(self._out, bytes(-size % _BLOCK))


def _entry(name: str) -> tarfile.TarInfo:
    import tarfile

    return tarfile.TarInfo(name)
