"""A directory of this machine as a build context, seen through its ignore file; nothing is walked in advance."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from builder import _native
from builder.errors import BuildError
from builder.snapshots.filetree import Entry, join

if TYPE_CHECKING:
    from builder.dockerfile.ignore import Ignore


class ContextTree:
    """A FileTree over a directory. Owners are 0:0, as COPY has them for context files."""

    def __init__(self, root: str, ignore: Ignore) -> None:
        self.root = root
        self.ignore = ignore
        self._needed: dict[str, bool] = {}
        self._root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._root_fd)

    def entry(self, path: str) -> Entry | None:
        try:
            found = os.lstat(os.path.join(self.root, path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if path and self._hidden(path, found.st_mode) else self._describe(path, found)

    def entries(self, path: str) -> list[Entry]:
        try:
            with os.scandir(os.path.join(self.root, path)) as items:
                found = [(join(path, item.name), item.stat(follow_symlinks=False)) for item in items]
        except OSError as error:
            raise unreadable(path, error) from error
        return sorted(self._describe(child, info) for child, info in found if not self._hidden(child, info.st_mode))

    def readlink(self, path: str) -> str:
        return os.readlink(os.path.join(self.root, path))

    def open(self, entry: Entry) -> int:
        return _native.open_in_root(self._root_fd, os.fsencode(entry.path), os.O_RDONLY | os.O_NOFOLLOW)

    def descriptor(self, place: str) -> int:
        return self._root_fd

    def ignored(self, path: str) -> bool:
        """Whether `path` exists but the ignore file takes it out of the context."""
        try:
            found = os.lstat(os.path.join(self.root, path))
        except OSError:
            return False
        return self._hidden(path, found.st_mode)

    def _hidden(self, path: str, mode: int) -> bool:
        return not self._shown(path, stat.S_ISDIR(mode))

    def _shown(self, path: str, is_dir: bool) -> bool:
        if not self.ignore.excluded(path):
            return True
        return is_dir and self.ignore.may_contain_included(path) and self._holds_included(path)

    def _holds_included(self, path: str) -> bool:
        """An excluded directory is only there for what a `!` rule includes in it again."""
        if path not in self._needed:
            try:
                with os.scandir(os.path.join(self.root, path)) as items:
                    found = [(join(path, item.name), item.is_dir(follow_symlinks=False)) for item in items]
            except OSError as error:
                raise unreadable(path, error) from error
            self._needed[path] = any(self._shown(child, is_dir) for child, is_dir in found)
        return self._needed[path]

    def _describe(self, path: str, found: os.stat_result) -> Entry:
        inode = (found.st_dev, found.st_ino)
        times = (found.st_mtime_ns, found.st_ctime_ns)
        # By position: a context may have a million files, and names cost twice the time.
        return Entry(
            path,
            found.st_mode,
            0,
            0,
            found.st_rdev,
            found.st_size,
            times[0],
            inode,
            found.st_nlink,
            self.root,
            times[1],
        )


def unreadable(path: str, error: OSError) -> BuildError:
    """The error for a file or directory of the context that is there and cannot be read."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    hint = "make it readable, or name it in .dockerignore" if isinstance(error, PermissionError) else None
    return BuildError(f'cannot read "/{path}" of the build context: {reason}', hint=hint)


def open_context(root: str, ignore: Ignore, name: str = "build context") -> ContextTree:
    """The context rooted at a directory. Raises BuildError when it is none or cannot be read."""
    if not os.path.isdir(root):
        what = "is not a directory" if os.path.exists(root) else "does not exist"
        raise BuildError(f"{name} {root!r} {what}", hint="name the directory that holds the files to copy")
    if not os.access(root, os.R_OK | os.X_OK):
        raise BuildError(f"{name} {root!r} cannot be read: permission denied")
    return ContextTree(os.path.realpath(root), ignore)
