"""Compressed bytes to plain bytes and back, for layers: gzip, zstd, none; bzip2 and xz are read only.

The compressors' output depends on their input and level alone: not on the number of threads, nor on the
sizes of the pieces they are fed.
"""

from __future__ import annotations

from typing import Literal, Protocol

Compression = Literal["gzip", "zstd", "none"]


class Reader(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Writer(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Compressor(Protocol):
    """Feed it pieces, then finish once; both return what is ready to be written."""

    def compress(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...

    def close(self) -> None: ...


def sniff(start: bytes) -> str | None:
    """Name of the compression whose magic number opens `start` (6 bytes suffice), or None."""
    raise NotImplementedError


def decompressed(source: Reader, start: bytes = b"", name: str | None = None) -> Reader:
    """A reader of the plain bytes of `start` + `source`; `name` as `sniff` gives, None = not compressed."""
    raise NotImplementedError


def compressor(compression: Compression, level: int | None = None, threads: int | None = None) -> Compressor:
    raise NotImplementedError
