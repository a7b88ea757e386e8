"""Directories of a build context as packed bytes: an object for each of a million files costs ten times as much.

A stat is eight 64-bit words, as `_native.list_directory` packs them.
"""

from __future__ import annotations

import os
import struct
import sys
from itertools import compress
from typing import TYPE_CHECKING

from builder import _native
from builder.errors import BuildError
from builder.snapshots.filetree import Entry, join
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STAT = struct.Struct("=5Q3q")  # mode, links, rdev, dev, ino, size, mtime_ns, ctime_ns
IDENTITY = slice(3 * 8, STAT.size)  # dev to ctime_ns: what changes whenever the content does
_FAR = (1 << 63) - 1  # nanoseconds, in the year 2262
_LINKS, _MTIME, _CTIME = 1, 6, 7


class Files(NamedTuple):
    """Names, each with a NUL behind it, and their stats, in the same order."""

    names: bytes
    stats: bytes

    @property
    def total(self) -> int:
        return len(self.stats) // STAT.size

    def each(self) -> Iterator[tuple[bytes, bytes]]:
        return zip(self.names.split(b"\0"), self.rows(), strict=False)

    def rows(self) -> list[bytes]:
        return [self.stats[at : at + STAT.size] for at in range(0, len(self.stats), STAT.size)]

    def at(self, positions: Iterable[int], *, kept: bool) -> Files:
        """Those at `positions`, or those that are not."""
        chosen = [not kept] * self.total
        for position in positions:
            chosen[position] = kept
        names = compress(self.names.split(b"\0"), chosen)
        return Files(b"".join(name + b"\0" for name in names), b"".join(compress(self.rows(), chosen)))

    def newest(self) -> int:
        """The latest mtime or ctime, in nanoseconds."""
        words = memoryview(self.stats).cast("q")
        return max([0, *words[_MTIME :: STAT.size // 8], *words[_CTIME :: STAT.size // 8]])

    def linked(self) -> bool:
        """Whether anything here has another name, too."""
        return bool(self.stats) and max(memoryview(self.stats).cast("Q")[_LINKS :: STAT.size // 8]) > 1


class Listing(NamedTuple):
    """A directory, sorted by name: what of it are directories, and all else."""

    directories: Files
    files: Files


def read(root_fd: int, path: str) -> Listing:
    """Lists and stats. BuildError where that cannot be; what goes away meanwhile is not there."""
    try:
        names, stats, other_names, other_stats = _native.list_directory(root_fd, os.fsencode(path))
    except OSError as error:
        raise unreadable(path, error) from error
    return Listing(Files(names, stats), Files(other_names, other_stats))


def entries(place: str, directory: str, files: Files) -> Iterator[Entry]:
    for name, row in files.each():
        yield entry(place, join(directory, os.fsdecode(name)), row)


def entry(place: str, path: str, row: bytes) -> Entry:
    """Owners are 0:0, as COPY has them for context files."""
    mode, links, rdev, dev, ino, size, mtime_ns, ctime_ns = STAT.unpack(row)
    # By position: names cost twice the time.
    return Entry(path, mode, 0, 0, rdev, size, mtime_ns, (dev, ino), links, place, ctime_ns)


def mode_of(row: bytes) -> int:
    return _word(row, 0)


def links_of(row: bytes) -> int:
    return _word(row, _LINKS)


def rdev_of(row: bytes) -> int:
    return _word(row, 2)


def inode_of(row: bytes) -> tuple[int, int]:
    """Device and number."""
    return _word(row, 3), _word(row, 4)


def _word(row: bytes, number: int) -> int:
    return int.from_bytes(row[number * 8 : number * 8 + 8], sys.byteorder)


def row_of(found: os.stat_result) -> bytes:
    """One stat as a listing has it."""
    words = (found.st_mode, found.st_nlink, found.st_rdev, found.st_dev, found.st_ino, found.st_size)
    return STAT.pack(*words, *(min(max(time, -_FAR - 1), _FAR) for time in (found.st_mtime_ns, found.st_ctime_ns)))


def unreadable(path: str, error: OSError) -> BuildError:
    """The error for a file or directory of the context that is there and cannot be read."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    hint = "make it readable, or name it in .dockerignore" if isinstance(error, PermissionError) else None
    return BuildError(f'cannot read "/{path}" of the build context: {reason}', hint=hint)
