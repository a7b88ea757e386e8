"""Whether a zstd stream is whole: its decoder ends without a word when its input does, in the middle of a frame too.

frame:      magic │ descriptor │ window, dictionary id, content size │ block … │ checksum        (RFC 8878, 3.1)
block:      last: 1 bit, kind: 2 bits, size: 21 bits │ content, which is one byte where the kind repeats it
skippable:  magic │ size │ content
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.layers.codec import Reader

MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE = tuple(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60))

_REPEAT = 1
_DICTIONARY_ID = (0, 1, 2, 4)
_CONTENT_SIZE = (0, 2, 4, 8)


class Frames:
    """Passes `source` on as it is. Raises ArchiveError where it ends inside a frame."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self._held = b""
        self._skip = self._checksum = 0
        self._wants(len(MAGIC), self._magic)

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        if data:
            self._follow(data)
        elif self._size and (self._step != self._magic or self._held or self._skip):
            raise ArchiveError("the zstd stream ends too early")
        return data

    def _wants(self, size: int, step: Callable[[bytes], None]) -> None:
        """After what is to be skipped, `step` gets the next `size` bytes; none: what follows is not for us."""
        self._size, self._step = size, step

    def _follow(self, data: bytes) -> None:
        at = 0
        while at < len(data) and self._size:
            if self._skip:
                passed = min(self._skip, len(data) - at)
                self._skip -= passed
            else:
                passed = min(self._size - len(self._held), len(data) - at)
                self._held += data[at : at + passed]
            at += passed
            if len(self._held) == self._size:
                held, self._held = self._held, b""
                self._step(held)

    def _magic(self, magic: bytes) -> None:
        if magic == MAGIC:
            self._wants(1, self._descriptor)
        elif magic in SKIPPABLE:
            self._wants(4, self._skippable)
        else:
            self._wants(0, self._magic)  # the decoder will say so

    def _skippable(self, size: bytes) -> None:
        self._skip = int.from_bytes(size, "little")
        self._wants(len(MAGIC), self._magic)

    def _descriptor(self, descriptor: bytes) -> None:
        bits = descriptor[0]
        single = bits >> 5 & 1
        self._checksum = 4 * (bits >> 2 & 1)
        size = _CONTENT_SIZE[bits >> 6] or single
        self._skip = (1 - single) + _DICTIONARY_ID[bits & 3] + size
        self._wants(3, self._block)

    def _block(self, header: bytes) -> None:
        bits = int.from_bytes(header, "little")
        self._skip = 1 if bits >> 1 & 3 == _REPEAT else bits >> 3
        if bits & 1:
            self._skip += self._checksum
            self._wants(len(MAGIC), self._magic)
        else:
            self._wants(3, self._block)
