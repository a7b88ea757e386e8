"""ADD's treatment of archives: is this file a tar, compressed or not, and what is in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.errors import ArchiveError
from builder.layers import codec

if TYPE_CHECKING:
    from builder.layers.codec import Reader

_BLOCK = 512
_CHECKSUM = slice(148, 156)


class FileReader:
    """A Reader over a descriptor that it does not own, from the start of the file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._offset = 0

    def read(self, size: int = -1, /) -> bytes:
        block = os.pread(self._descriptor, size if size >= 0 else 1 << 20, self._offset)
        self._offset += len(block)
        return block


def is_archive(descriptor: int) -> bool:
    """Whether the file starts with a tar header, after decompression by its magic number. Names play no part."""
    try:
        reader = codec.decompressed(FileReader(descriptor), name=codec.sniff(os.pread(descriptor, _BLOCK, 0)))
        return _is_header(_exactly(reader, _BLOCK))
    except (ArchiveError, OSError, ValueError, EOFError):
        return False  # compressed, but not to the end of one header: an ordinary file


def _exactly(reader: Reader, size: int) -> bytes:
    """The first `size` bytes; a reader may give more than it was asked for."""
    found = b""
    while len(found) < size and (block := reader.read(size - len(found))):
        found += block
    return found[:size]


def _is_header(block: bytes) -> bool:
    """POSIX.1 ustar: the checksum is the sum of the header's bytes with its own field read as blanks."""
    if len(block) < _BLOCK or not any(block):
        return False
    digits = block[_CHECKSUM].strip(b" \0")
    if not digits or any(digit not in b"01234567" for digit in digits):
        return False
    total = sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ")
    return int(digits, 8) == total
