"""Compressed bytes to plain bytes, for layers: gzip, zstd, bzip2, xz or none, by magic number.

Writing is `builder.layers.compress`.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Literal, Protocol

from builder.errors import ArchiveError
from builder.layers.libraries import demand

if TYPE_CHECKING:
    from collections.abc import Callable

Compression = Literal["gzip", "zstd", "none"]

_BLOCK = 1 << 20
_PIECE = 1 << 18
_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    *((bytes([first]) + b"\x2a\x4d\x18", "zstd") for first in range(0x50, 0x60)),  # skippable frames, as of pzstd
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
)


class Reader(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Writer(Protocol):
    def write(self, data: bytes, /) -> object: ...


def sniff(start: bytes) -> str | None:
    """Name of the compression whose magic number opens `start` (6 bytes suffice), or None."""
    return next((name for magic, name in _MAGIC if start.startswith(magic)), None)


# ---- reading ----


class _Decompressor(Protocol):
    """One member (gzip, bzip2, xz), as the standard library's decompressors are, bz2's for example."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class Plain:
    """`start` and then `source`, as they are; counts what it read."""

    def __init__(self, source: Reader, start: bytes = b"") -> None:
        self._source, self._start = source, start
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        start, self._start = self._start, b""
        if 0 <= size < len(start):
            start, self._start = start[:size], start[size:]
        data = start or self._source.read(size)
        self.count += len(data)
        return data


class Decompressed:
    """Plain bytes of compressed members in a row. What follows the last is ignored, as gzip does.

    A read gives at most 1 MiB, however well it was packed."""

    def __init__(self, source: Reader, make: Callable[[], _Decompressor], name: str) -> None:
        self._source, self._make, self._name = source, make, name
        self._member: _Decompressor | None = make()
        self._input = b""

    def read(self, size: int = -1, /) -> bytes:
        """Some bytes; b"" at the end. Raises ArchiveError."""
        while self._member is not None:
            data, self._input = self._input, b""
            if not data and self._member.needs_input and not (data := self._source.read(_PIECE)):
                raise ArchiveError(f"the {self._name} stream ends too early")
            plain = self._feed(self._member, data)
            if plain:
                return plain
        return b""

    def _feed(self, member: _Decompressor, data: bytes) -> bytes:
        import lzma

        try:
            plain = member.decompress(data, _BLOCK)
        except (zlib.error, OSError, ValueError, EOFError, lzma.LZMAError) as error:
            raise ArchiveError(f"the {self._name} stream is damaged: {error}") from error
        if member.eof:
            self._next(member.unused_data)
        return plain

    def _next(self, data: bytes) -> None:
        while len(data) < 6 and (more := self._source.read(_PIECE)):
            data += more
        again = sniff(data) == self._name
        self._input = data if again else b""
        self._member = self._make() if again else None


class _Zlib:
    """zlib's decompressor with the manners of bz2's: it keeps the input that its output had no room for.

    zlib-ng's, in half the time of the standard library's: inflating is what unpacking a layer waits for.
    """

    def __init__(self) -> None:
        from zlib_ng import zlib_ng

        self._inner = zlib_ng.decompressobj(31)
        self._damaged: type[Exception] = zlib_ng.error  # type: ignore[assignment]

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        try:
            return self._inner.decompress(self._inner.unconsumed_tail + data, max(max_length, 0))
        except self._damaged as error:
            raise ValueError(error) from error


def decompressed(source: Reader, start: bytes = b"", name: str | None = None) -> Reader:
    """A reader of the plain bytes of `start` + `source`; `name` as `sniff` gives, None = not compressed."""
    plain = Plain(source, start)
    match name:
        case None:
            return plain
        case "gzip":
            demand("zlib_ng", "zlib-ng")
            return Decompressed(plain, _Zlib, name)
        case "zstd":
            demand("zstandard", "zstandard")
            import zstandard

            from builder.layers.zstdframes import Frames

            return zstandard.ZstdDecompressor().stream_reader(Frames(plain), read_across_frames=True)  # type: ignore[arg-type]
        case "bzip2":
            import bz2

            return Decompressed(plain, bz2.BZ2Decompressor, name)
        case "xz":
            import lzma

            return Decompressed(plain, lzma.LZMADecompressor, name)
        case _:
            raise ArchiveError(f"unknown compression {name}")
