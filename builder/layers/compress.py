"""Pieces of a tar become members of a layer: gzip or zstd, each piece by itself, several at a time.

    tar, cut every MiB:   piece 0 │ piece 1 │ … │ what is left
    gzip:                 member (mtime 0, OS 255) │ member │ … │ member           RFC 1952, 2.2
    zstd:                 frame (with its plain size) │ frame │ … │ frame          RFC 8878, 3

So the bytes depend on the tar, the level and the version of the library alone: never on the number of
threads, nor on the processor. docs/architecture.md says why it is libdeflate, and what the cuts cost.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.layers.libraries import demand_writer
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from threading import Semaphore
    from types import TracebackType
    from typing import Self

    from builder.layers.codec import Compression

    Press = Callable[[bytes], bytes]

_GZIP_LEVEL = 1
_ZSTD_LEVEL = 3

# A piece with its member and the tables of its thread takes 3 MiB, a finished one that waits for the disk
# 1 or 2: more of them would be more than 128 MiB for the process.
_MOST_THREADS = 16
_SPARE = 4


def press(compression: Compression, level: int | None = None) -> Press | None:
    """What makes a member of a piece; None for a layer that is stored as it is.

    `level` is 1 to 12 for gzip and 1 to 22 for zstd, None the usual one (1 and 3). BuildError where the
    library is missing or would give other bytes.
    """
    match compression:
        case "none":
            return None
        case "gzip":
            return _gzip(_GZIP_LEVEL if level is None else level)
        case "zstd":
            return _zstd(_ZSTD_LEVEL if level is None else level)


def _gzip(level: int) -> Press:
    demand_writer("deflate")
    from deflate import gzip_compress

    return lambda piece: bytes(gzip_compress(piece, level))


def _zstd(level: int) -> Press:
    demand_writer("zstandard")
    from zstandard import ZstdCompressor

    # A compressor serves one thread at a time, and making one costs a hundredth of using it.
    return lambda piece: ZstdCompressor(level=level).compress(piece)


class Member(NamedTuple):
    """A member that is being made. Whoever has it calls `take` or `drop`, once: it holds room until then."""

    future: Future[bytes]
    room: Semaphore

    def take(self) -> bytes:
        """Wait for its bytes."""
        try:
            return self.future.result()
        finally:
            self.room.release()

    def drop(self) -> None:
        self.future.cancel()
        self.room.release()


class Workers:
    """Threads that compress, and the memory for it, shared by all layers that a process packs at a time."""

    def __init__(self, threads: int | None = None) -> None:
        """`threads` None is one for each CPU that we may use."""
        from concurrent.futures import ThreadPoolExecutor
        from threading import Semaphore

        count = min(threads or len(os.sched_getaffinity(0)), _MOST_THREADS)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="compress")
        self.most = count + _SPARE
        self._room = Semaphore(self.most)

    def submit(self, press: Press, piece: bytes) -> Member:
        """Start on a member as soon as there is room for it."""
        self._room.acquire()
        try:
            return Member(self._pool.submit(press, piece), self._room)
        except BaseException:
            self._room.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
