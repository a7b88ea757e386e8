"""A tree becomes a layer: one streaming pass, hashed and compressed beside the reading.

    T/diff ─► native.pack (thread) ─► queue ─► SHA-256: diff ID ─► compress (threads) ─► SHA-256: digest ─► out

Order of the tar: depth first, the names of a directory by their bytes, its whiteouts before all else in it.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from builder import _native
from builder.errors import ArchiveError
from builder.layers.codec import compressor
from builder.layers.tree import open_tree
from builder.layers.unpack import show_name
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from _typeshed import WriteableBuffer

    from builder.layers.codec import Compression, Compressor, Writer
    from builder.layers.tree import Owners

_WAITING = 4  # pieces of 1 MiB between the thread that reads and the one that hashes


class Packed(NamedTuple):
    """`diff_id` and `diff_size` are of the tar, `digest` and `size` of what was written to `out`."""

    diff_id: str
    digest: str
    size: int
    diff_size: int
    entries: int


def pack_diff(
    tree: str,
    lowers: Sequence[str],
    out: Writer,
    *,
    owners: Owners,
    clamp: int,
    compression: Compression = "gzip",
    level: int | None = None,
    threads: int | None = None,
) -> Packed:
    """Write the layer that turns the merged view of `lowers` (topmost first) into that with `tree` on top.

    An entry that the lower view has already, the same in all that a tar says, is left out; no entries means
    that nothing changed (an empty archive is still written). No mtime is later than `clamp`, in seconds.
    The bytes depend on nothing else: not on threads, machine, user or tier. ArchiveError for what no layer
    can hold (a name that begins with `.wh.`), OSError when reading or writing fails.
    """
    return _pack([tree], lowers, out, owners, clamp, layer=True, squeeze=compressor(compression, level, threads))


def pack_view(trees: Sequence[str], out: Writer, *, owners: Owners, clamp: int) -> Packed:
    """Write the merged view of `trees` (topmost first) as one plain tar."""
    return _pack(trees, [], out, owners, clamp, layer=False, squeeze=compressor("none"))


@contextmanager
def view_tar(trees: Sequence[str], *, owners: Owners, clamp: int) -> Iterator[BinaryIO]:
    """The tar of `pack_view` as a stream to read, once and forwards."""
    fds: list[int] = []
    try:
        fds.extend(map(open_tree, trees))
        source = _Source(lambda put: _native.pack(fds, [], put, owners, clamp, False))
        try:
            yield _stream(source)
            for _ in source:
                pass
            source.check()
        finally:
            source.close()
    finally:
        for fd in fds:
            os.close(fd)


def _pack(
    uppers: Sequence[str],
    lowers: Sequence[str],
    out: Writer,
    owners: Owners,
    clamp: int,
    *,
    layer: bool,
    squeeze: Compressor,
) -> Packed:
    fds: list[int] = []
    try:
        fds.extend(map(open_tree, uppers))
        fds.extend(map(open_tree, lowers))
        upper_fds, lower_fds = fds[: len(uppers)], fds[len(uppers) :]
        source = _Source(lambda put: _native.pack(upper_fds, lower_fds, put, owners, clamp, layer))
        return _write(source, out, squeeze)
    finally:
        squeeze.close()
        for fd in fds:
            os.close(fd)


def _write(source: _Source, out: Writer, squeeze: Compressor) -> Packed:
    plain, written = _Tally(), _Tally()
    try:
        for data in source:
            plain.add(data)
            _emit(squeeze.compress(data), written, out)
        source.check()
        _emit(squeeze.finish(), written, out)
    finally:
        source.close()
    return Packed(plain.digest(), written.digest(), written.size, plain.size, source.entries)


def _emit(data: bytes, written: _Tally, out: Writer) -> None:
    if data:
        written.add(data)
        out.write(data)


class _Tally:
    """SHA-256 and size of what went by."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size = 0

    def add(self, data: bytes) -> None:
        self._sha256.update(data)
        self.size += len(data)

    def digest(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"


class _Source:
    """A thread that packs; iterate over it for the pieces, once."""

    def __init__(self, pack: Callable[[Callable[[bytes], object]], int]) -> None:
        import queue
        import threading

        self.entries = 0
        self._pack = pack
        self._pieces: queue.Queue[bytes] = queue.Queue(_WAITING)  # b"" is the end
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="pack", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[bytes]:
        while not self._ended:
            piece = self._pieces.get()
            self._ended = not piece
            if piece:
                yield piece

    def check(self) -> None:
        """Wait for the thread and raise what went wrong in it. Call it after the last piece."""
        self._thread.join()
        if isinstance(self._error, ValueError) and len(self._error.args) == 2:
            reason, path = self._error.args
            raise ArchiveError(f"{show_name(path)}: {reason}") from self._error
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the thread, whatever it still had to give."""
        self._closed = True
        for _ in self:
            pass
        self._thread.join()

    def _put(self, piece: bytes) -> None:
        if self._closed:
            raise InterruptedError("nobody reads any more")
        self._pieces.put(piece)

    def _run(self) -> None:
        try:
            self.entries = self._pack(self._put)
        except BaseException as error:  # noqa: BLE001 (carried to the thread that waits)
            self._error = error
        finally:
            self._pieces.put(b"")


def _stream(source: _Source) -> BinaryIO:
    """The pieces of `source` as a file to read."""
    import io

    pieces = iter(source)

    class Raw(io.RawIOBase):
        rest = memoryview(b"")

        def readable(self) -> bool:
            return True

        def readinto(self, into: WriteableBuffer) -> int:
            self.rest = self.rest or memoryview(next(pieces, b""))
            room = memoryview(into)
            size = min(len(room), len(self.rest))
            room[:size], self.rest = self.rest[:size], self.rest[size:]
            return size

    return io.BufferedReader(Raw(), 1 << 18)
