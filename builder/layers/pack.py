"""A tree becomes a layer: one streaming pass, hashed and compressed beside the reading.

    T/diff ─► native.pack (thread) ─► pipe ─► SHA-256: diff ID ─► compress (threads) ─► SHA-256: digest ─► out

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

    from builder.layers.codec import Compression, Compressor, Writer
    from builder.layers.tree import Owners

_PIECE = 1 << 20
_F_SETPIPE_SZ = 1031


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
        source = _Source(lambda pipe: _native.pack(fds, [], pipe, owners, clamp, False))
        try:
            with open(source.out, "rb", closefd=False) as stream:
                yield stream
                while stream.read(_PIECE):
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
        source = _Source(lambda pipe: _native.pack(upper_fds, lower_fds, pipe, owners, clamp, layer))
        return _write(source, out, squeeze)
    finally:
        squeeze.close()
        for fd in fds:
            os.close(fd)


def _write(source: _Source, out: Writer, squeeze: Compressor) -> Packed:
    plain, written = _Tally(), _Tally()
    try:
        while data := os.read(source.out, _PIECE):
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
    """A thread that writes a tar into a pipe; `out` is the end to read."""

    def __init__(self, write: Callable[[int], int]) -> None:
        import threading

        self.out, self._in = os.pipe2(os.O_CLOEXEC)
        self._enlarge()
        self.entries = 0
        self._write = write
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="pack", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Wait for the thread and raise what went wrong in it. Call it at the end of the pipe."""
        self._thread.join()
        if isinstance(self._error, ValueError) and len(self._error.args) == 2:
            reason, path = self._error.args
            raise ArchiveError(f"{show_name(path)}: {reason}") from self._error
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        os.close(self.out)
        self._thread.join()

    def _enlarge(self) -> None:
        import fcntl

        try:
            fcntl.fcntl(self._in, _F_SETPIPE_SZ, _PIECE)
        except OSError:
            pass  # over the user's limit of pipe pages: slower, not wrong

    def _run(self) -> None:
        try:
            self.entries = self._write(self._in)
        except BaseException as error:  # noqa: BLE001 (carried to the thread that waits)
            self._error = error
        finally:
            os.close(self._in)
