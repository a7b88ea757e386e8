"""A tree becomes a layer: one streaming pass, hashed and compressed beside the reading.

    T/diff ─► native.pack ─► pieces of 1 MiB ┬─► SHA-256 (thread): diff ID
                                             └─► compress (threads) ─► SHA-256: digest, and out (thread)

Order of the tar: depth first, the names of a directory by their bytes, its whiteouts before all else in it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, BinaryIO

from builder import _native
from builder.errors import ArchiveError
from builder.layers.compress import Member, Workers, press
from builder.layers.lane import Lane
from builder.layers.tree import open_tree
from builder.layers.unpack import show_name
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from _typeshed import WriteableBuffer

    from builder.layers.codec import Compression, Writer
    from builder.layers.compress import Press
    from builder.layers.tree import Owners

    _Pack = Callable[[Callable[[bytes], object]], int]

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
    workers: Workers | None = None,
) -> Packed:
    """Write the layer that turns the merged view of `lowers` (topmost first) into that with `tree` on top.

    An entry that the lower view has already, the same in all that a tar says, is left out; no entries means
    that nothing changed (an empty archive is still written). No mtime is later than `clamp`, in seconds.
    The bytes depend on nothing else: not on threads, machine, user or tier. ArchiveError for what no layer
    can hold (a name that begins with `.wh.`, a path of more than 4095 bytes), OSError when reading fails, and
    whatever `out` raises: it is called by another thread, and no more once this has returned or raised. Without
    `workers` it has its own.
    """
    with ExitStack() as stack, _packing([tree], lowers, owners, clamp, layer=True) as pack:
        make = press(compression, level)
        if make is None:
            return _store(pack, out)
        return _compress(pack, out, make, workers or stack.enter_context(Workers()))


def pack_view(trees: Sequence[str], out: Writer, *, owners: Owners, clamp: int) -> Packed:
    """Write the merged view of `trees` (topmost first) as one plain tar."""
    with _packing(trees, [], owners, clamp, layer=False) as pack:
        return _store(pack, out)


@contextmanager
def view_tar(trees: Sequence[str], *, owners: Owners, clamp: int) -> Iterator[BinaryIO]:
    """The tar of `pack_view` as a stream to read, once and forwards."""
    with _packing(trees, [], owners, clamp, layer=False) as pack:
        source = _Source(pack)
        try:
            yield _stream(source)
            for _ in source:
                pass
            source.check()
        finally:
            source.close()


@contextmanager
def _packing(
    uppers: Sequence[str], lowers: Sequence[str], owners: Owners, clamp: int, *, layer: bool
) -> Iterator[_Pack]:
    """`native.pack` of open trees: give it what takes the pieces, and it returns the number of entries."""
    with ExitStack() as stack:
        upper_fds, lower_fds = ([_opened(tree, stack) for tree in trees] for trees in (uppers, lowers))

        def pack(put: Callable[[bytes], object]) -> int:
            try:
                return _native.pack(upper_fds, lower_fds, put, owners, clamp, layer)
            except ValueError as error:
                if len(error.args) != 2:
                    raise
                reason, path = error.args
                raise ArchiveError(f"{show_name(path)}: {reason}") from error
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                reason = "a path of more than 4095 bytes, which no program could unpack"
                raise ArchiveError(
                    f"{show_name(error.filename)}: {reason}", hint="delete it in the same step"
                ) from error

        yield pack


def _opened(tree: str, stack: ExitStack) -> int:
    fd = open_tree(tree)
    stack.callback(os.close, fd)
    return fd


def _store(pack: _Pack, out: Writer) -> Packed:
    plain = _Tally()
    with Lane("hash", plain.add) as hashing, Lane("write", out.write) as writing:

        def put(piece: bytes) -> None:
            hashing.put(piece)
            writing.put(piece)

        entries = pack(put)
    return Packed(plain.digest(), plain.digest(), plain.size, plain.size, entries)


def _compress(pack: _Pack, out: Writer, make: Press, workers: Workers) -> Packed:
    plain, written = _Tally(), _Tally()

    def write(member: Member) -> None:
        blob = member.take()
        written.add(blob)
        out.write(blob)

    with Lane("hash", plain.add) as hashing, Lane("write", write, Member.drop, workers.most) as writing:

        def put(piece: bytes) -> None:
            hashing.put(piece)
            writing.put(workers.submit(make, piece))

        entries = pack(put)
    return Packed(plain.digest(), written.digest(), written.size, plain.size, entries)


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

    def __init__(self, pack: _Pack) -> None:
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
