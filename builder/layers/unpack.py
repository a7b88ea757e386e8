"""A tar stream, compressed or not, becomes a tree.

    stream ─► read ─► decompress ─► hash ─► native.unpack ─► T/diff, T/journal

Each step but the last works in a thread of its own, a few pieces ahead of the next.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from builder import _native
from builder.errors import ArchiveError, StoreError, remedy
from builder.layers.ahead import Ahead
from builder.layers.codec import Plain, decompressed, sniff
from builder.layers.tree import IMPLIED, IMPLIED_NS, create_tree, open_tree
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.layers.codec import Reader
    from builder.layers.tree import Owners, Whiteouts

_PIECE = 1 << 20
_RATIO_FROM = 2 << 30
_SLOW = ("bzip2", "xz")  # they unpack zeros at 250 MB/s: of them a quarter of that is enough
# Not the archive's fault: the disk or the process is at its limit.
_HOST_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS})


class Limits(NamedTuple):
    """What an archive may ask of us: a bomb is an error, not an outage.

    `bytes` is the sum of the files' sizes; `header_bytes` of one extended header; `path`, `name` in bytes,
    `depth` in components, some more than native/layers.h has directories; `ratio` of plain to compressed
    bytes, once 2 GiB came out: what is not made to hurt stays far below, and gzip cannot give more than 1032.
    """

    entries: int = 10_000_000
    bytes: int = 1 << 40
    header_bytes: int = 1 << 20
    path: int = 4095
    name: int = 255
    depth: int = 512
    ratio: int = 500


DEFAULT_LIMITS = Limits()


class Unpacked(NamedTuple):
    """Members of the archive, and bytes of file data."""

    entries: int
    bytes: int


def unpack(
    stream: Reader | int,
    tree: str,
    *,
    owners: Owners,
    whiteouts: Whiteouts = "overlay",
    limits: Limits = DEFAULT_LIMITS,
    force_walk: bool = False,
    watch: Callable[[bytes], object] = len,
) -> Unpacked:
    """Unpack `stream` (a reader or a descriptor, read to its end) into `tree`, which is made if missing.

    A tree that has files already is unpacked over: later entries win. Whiteouts "overlay" is a layer;
    "literal" a plain tar, in which `.wh.` names are errors. ArchiveError names the entry; the tree is then
    rubbish that the caller deletes. Nothing outside T/diff is touched whatever the archive says.
    `watch` is shown the plain bytes, piece by piece, in another thread; what it raises ends the unpacking.
    `force_walk` resolves paths as on a kernel without openat2, for tests.
    """
    create_tree(tree)
    reader: Reader = _Descriptor(stream) if isinstance(stream, int) else stream
    tree_fd = open_tree(tree)
    with Ahead(_pieces(reader)) as compressed, Ahead(_plain(compressed, limits.ratio)) as plain:
        try:
            with Ahead(_watched(plain, watch)) as watched:
                done = _native.unpack(watched.read, tree_fd, owners, whiteouts == "overlay", limits[:6], force_walk)
            if whiteouts == "overlay":
                _keep_implied(tree, tree_fd, done[2], owners)
        except (ValueError, OSError) as error:
            raise (error if watched.failed_with(error) else _explain(error)) from error
        finally:
            os.close(tree_fd)
    return Unpacked(*done[:2])


def _keep_implied(tree: str, tree_fd: int, paths: bytes, owners: Owners) -> None:
    """Write T/implied, if one of these directories, or one that it is in, is still what no entry speaks of."""
    kept = [path for path in paths.split(b"\0")[:-1] if any(_is_implied(tree_fd, part, owners) for part in parts(path))]
    if kept:
        with open(os.path.join(tree, IMPLIED), "ab") as file:
            file.write(b"\0".join([*kept, b""]))


def _is_implied(tree_fd: int, path: bytes, owners: Owners) -> bool:
    try:
        (found,) = _native.tree_stat(tree_fd, (path,), owners)
    except OSError:  # replaced by another entry
        return False
    return stat.S_ISDIR(found[0]) and found[5] == IMPLIED_NS


def parts(path: bytes) -> Iterator[bytes]:
    """The path, and then the directories that it is in, but for the root."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]


class _Descriptor:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, size: int = -1, /) -> bytes:
        return os.read(self._fd, size if size > 0 else _PIECE)


def _pieces(reader: Reader) -> Iterator[bytes]:
    while data := reader.read(_PIECE):
        yield data


def _plain(compressed: Reader, ratio: int) -> Iterator[bytes]:
    counted = Plain(compressed)
    start = _read_start(counted)
    name = sniff(start)
    size, most = 0, _RATIO_FROM // 4 if name in _SLOW else _RATIO_FROM
    for data in _pieces(_Checked(decompressed(counted, start, name))):
        size += len(data)
        if size > most and size > ratio * counted.count:
            raise ArchiveError(f"the archive unpacks to more than {ratio} times its size")
        yield data
    while counted.read(_PIECE):  # what verifies the stream must see all of it
        pass


def _watched(plain: Reader, watch: Callable[[bytes], object]) -> Iterator[bytes]:
    for data in _pieces(plain):
        watch(data)
        yield data


class _Checked:
    """zstandard's errors become ours."""

    def __init__(self, inner: Reader) -> None:
        self._inner = inner

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._inner.read(size)
        except Exception as error:
            if type(error).__module__.startswith("zstandard") or type(error).__name__ == "ZstdError":
                raise ArchiveError(f"the zstd stream is damaged: {error}") from error
            raise


def _read_start(reader: Reader) -> bytes:
    start = b""
    while len(start) < 6 and (more := reader.read(_PIECE)):
        start += more
    return start


def _explain(error: ValueError | OSError) -> ArchiveError | StoreError:
    if isinstance(error, ValueError):
        reason, path = error.args
        return ArchiveError(f"{show_name(path)}: {reason}" if path is not None else f"{reason}")
    name = show_name(error.filename)
    if error.errno in _HOST_FAULTS:
        return StoreError(f"cannot unpack {name}: {error.strerror}", hint=remedy(error))
    return ArchiveError(f"{name}: {error.strerror}")


def show_name(path: bytes | str | None) -> str:
    """A name of an archive for people: printable, and not longer than they can read."""
    text = repr(path.decode(errors="surrogateescape") if isinstance(path, bytes) else "?" if path is None else path)
    return text if len(text) <= 300 else f"{text[:200]}…{text[-60:]}"
