"""Is this a tar, compressed or not? Asked of the first bytes; names play no part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import ArchiveError
from builder.layers import codec

if TYPE_CHECKING:
    from builder.layers.codec import Reader

_BLOCK = 512
_CHECKSUM = slice(148, 156)


def starts_tar(start: bytes, source: Reader) -> bool:
    """Whether `start` and what follows it in `source` begin with a tar header, after decompression by magic number."""
    try:
        return _is_header(_exactly(codec.decompressed(source, start, codec.sniff(start)), _BLOCK))
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
