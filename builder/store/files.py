"""The few file operations that the store is made of: whole writes, durable renames, thorough removal."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def create(path: str, mode: int = 0o644) -> int:
    """A descriptor of a new file; it is an error if there is one already."""
    return os.open(path, _NEW, mode)


def write_all(fd: int, content: bytes | memoryview) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(fd, left) :]


def write_file(path: str, content: bytes, *, durable: bool) -> None:
    """A new file with `content`. A failure leaves none; `durable` means on the disk on return."""
    fd = create(path)
    try:
        write_all(fd, content)
        if durable:
            os.fsync(fd)
    except BaseException:
        with suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(fd)


def rename_durably(source: str, target: str) -> None:
    """Rename, and have the directory on the disk before returning. `source` must be fsynced already."""
    os.rename(source, target)
    fd = os.open(os.path.dirname(target), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_file(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the exclusive lock of the file at `path`, waiting for it; the file is made if missing."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def remove_tree(path: str) -> bool:
    """Remove a directory and all below it, never following a link. True if nothing is left.

    Directories are first moved up into `path` and then emptied one by one, so that the depth of the
    tree, which a step chooses, costs neither stack, descriptors nor long paths. What may not be
    removed (files of other ids, outside their user namespace) stays.
    """
    unused = (f"{path}/.removed-{os.urandom(6).hex()}-{number:x}" for number in count())
    queue = [path]
    for directory in queue:
        for name in _names(directory):
            _unlink(f"{directory}/{name}", queue, unused if directory != path else None)
    for directory in reversed(queue):
        with suppress(OSError):
            os.rmdir(directory)
    return not os.path.lexists(path)


def _names(directory: str) -> list[str]:
    """What is in a directory. overlayfs leaves work directories of mode 0, and so may a step."""
    with suppress(OSError):
        mode = os.lstat(directory).st_mode
        if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
            os.chmod(directory, 0o700)
        return os.listdir(directory)
    return []


def _unlink(entry: str, queue: list[str], unused: Iterator[str] | None) -> None:
    """Unlink a file; queue a directory, moved to an unused place if there is one to choose from."""
    with suppress(OSError):
        if not stat.S_ISDIR(os.lstat(entry).st_mode):
            os.unlink(entry)
        elif unused is None:
            queue.append(entry)
        else:
            os.chmod(entry, 0o700)  # moving a directory writes to it (its ".." changes)
            moved = next(unused)
            os.rename(entry, moved)
            queue.append(moved)
