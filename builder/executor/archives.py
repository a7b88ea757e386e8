"""ADD's treatment of archives: is this file a tar, compressed or not, and what is in it."""

from __future__ import annotations

import os

from builder.layers.tarstart import starts_tar


class FileReader:
    """A Reader over a descriptor that it does not own, from `offset` on."""

    def __init__(self, descriptor: int, offset: int = 0) -> None:
        self._descriptor = descriptor
        self._offset = offset

    def read(self, size: int = -1, /) -> bytes:
        block = os.pread(self._descriptor, size if size >= 0 else 1 << 20, self._offset)
        self._offset += len(block)
        return block


def is_archive(descriptor: int) -> bool:
    """Whether the file starts with a tar header, after decompression by its magic number. Names play no part."""
    return starts_tar(os.pread(descriptor, 512, 0), FileReader(descriptor, 512))
