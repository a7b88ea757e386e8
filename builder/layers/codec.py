"""Compressed bytes to plain bytes and back, for layers: gzip, zstd, none; bzip2 and xz are read only.

The compressors' output depends on their input and level alone: not on the number of threads, nor on the
sizes of the pieces they are fed.

    gzip:  header (mtime 0, OS 255) │ raw deflate of block 0 │ of block 1 │ … │ final block │ CRC-32, size
           blocks of 1 MiB, each primed with the 32 KiB before it and ended by a sync flush
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Literal, Protocol

from builder.errors import ArchiveError

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from concurrent.futures import Future

Compression = Literal["gzip", "zstd", "none"]

_BLOCK = 1 << 20
_WINDOW = 32 << 10
_PIECE = 1 << 18
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
)


class Reader(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Writer(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Compressor(Protocol):
    """Feed it pieces, then finish once; both return what is ready to be written. Close it in any case."""

    def compress(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...

    def close(self) -> None: ...


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
            return Decompressed(plain, _Zlib, name)
        case "zstd":
            import zstandard

            return zstandard.ZstdDecompressor().stream_reader(plain, read_across_frames=True)  # type: ignore[arg-type]
        case "bzip2":
            import bz2

            return Decompressed(plain, bz2.BZ2Decompressor, name)
        case "xz":
            import lzma

            return Decompressed(plain, lzma.LZMADecompressor, name)
        case _:
            raise ArchiveError(f"unknown compression {name}")


# ---- writing ----


class _Stored:
    def compress(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


class _Gzip:
    """Blocks go to a pool and come back in order; at most twice as many wait as there are threads."""

    def __init__(self, level: int, threads: int) -> None:
        from collections import deque
        from concurrent.futures import ThreadPoolExecutor

        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gzip")
        self._level, self._most = level, threads * 2
        self._waiting: deque[Future[bytes]] = deque()
        self._block, self._before = bytearray(), b""
        self._crc, self._size = 0, 0
        self._head = _GZIP_HEADER

    def compress(self, data: bytes) -> bytes:
        self._block += data
        ready = self._take_head()
        while len(self._block) > _BLOCK:
            self._submit(bytes(self._block[:_BLOCK]), last=False)
            del self._block[:_BLOCK]
            if len(self._waiting) > self._most:
                ready += self._waiting.popleft().result()
        return ready

    def finish(self) -> bytes:
        self._submit(bytes(self._block), last=True)
        ready = self._take_head() + b"".join(future.result() for future in self._waiting)
        self._waiting.clear()
        return ready + self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head

    def _submit(self, block: bytes, *, last: bool) -> None:
        self._crc = zlib.crc32(block, self._crc)
        self._size += len(block)
        self._waiting.append(self._pool.submit(_deflate, block, self._before, self._level, last))
        self._before = block[-_WINDOW:]


def _deflate(block: bytes, before: bytes, level: int, last: bool) -> bytes:
    # zlib refuses an empty dictionary.
    arguments = (level, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY)
    deflate = zlib.compressobj(*arguments, before) if before else zlib.compressobj(*arguments)
    return deflate.compress(block) + deflate.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


class _Zstd:
    """zstd's own threads. Two at least: with none it would cut its jobs, and so its bytes, differently."""

    def __init__(self, level: int, threads: int) -> None:
        import zstandard

        self._inner = zstandard.ZstdCompressor(level=level, threads=max(threads, 2)).compressobj()
        self._block = bytearray()

    def compress(self, data: bytes) -> bytes:
        self._block += data
        ready = b""
        while len(self._block) >= _BLOCK:
            ready += self._inner.compress(bytes(self._block[:_BLOCK]))
            del self._block[:_BLOCK]
        return ready

    def finish(self) -> bytes:
        return self._inner.compress(bytes(self._block)) + self._inner.flush()

    def close(self) -> None:
        pass


def compressor(compression: Compression, level: int | None = None, threads: int | None = None) -> Compressor:
    """`level` None is the format's usual one (6 and 3); `threads` None is one for each CPU we may use."""
    import os

    count = threads or len(os.sched_getaffinity(0))
    match compression:
        case "none":
            return _Stored()
        case "gzip":
            return _Gzip(_GZIP_LEVEL if level is None else level, count)
        case "zstd":
            return _Zstd(_ZSTD_LEVEL if level is None else level, count)
