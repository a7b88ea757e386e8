"""The merged view of a stack of trees, read without mounting anything.

The rules are overlayfs's (Documentation/filesystems/overlayfs.rst): the topmost tree that has a name wins;
directories of the same path merge; a whiteout hides what lies below it, an opaque directory what its
namesakes below hold.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from builder import _native
from builder.layers.tree import is_opaque, names, open_file, open_tree, read_link
from builder.snapshots.filetree import Entry, join, parent, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from builder.layers.tree import Owners
    from builder.snapshots.snapshot import Snapshot

_Stat = tuple[int, int, int, int, int, int, int, int]


class View:
    """A read-only FileTree over a snapshot. A context manager: it holds a descriptor of each tree it has looked at."""

    def __init__(self, snapshot: Snapshot, owners: Owners) -> None:
        self._trees = snapshot.trees
        self._owners = owners
        self._descriptors: dict[str, int] = {}
        self._merged: dict[str, tuple[str, ...]] = {"": snapshot.trees}

    def __enter__(self) -> View:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def entry(self, path: str) -> Entry | None:
        for tree in self._directories(parent(path)) if path else self._trees:
            found = self._stat(tree, path)
            if found is not None:
                return None if _is_whiteout(found) else _entry(tree, path, found)
        return None if path else _EMPTY_ROOT

    def entries(self, path: str) -> list[Entry]:
        shown: dict[str, Entry | None] = {}
        for tree in self._directories(path):
            for name, found in self._list(tree, path).items():
                shown.setdefault(name, None if _is_whiteout(found) else _entry(tree, join(path, name), found))
        return [entry for _, entry in sorted(shown.items()) if entry is not None]

    def stacked(self, path: str) -> Iterator[Entry]:
        """The directories of this name in the trees, topmost first, down to what hides the rest.

        Opacity hides what is in directories: it does not count for `path` itself.
        """
        for tree in self._directories(parent(path)) if path else self._trees:
            found = self._stat(tree, path)
            if found is not None and not stat.S_ISDIR(found[0]):
                return
            if found is not None:
                yield _entry(tree, path, found)

    def readlink(self, path: str) -> str:
        entry = self.entry(path)
        assert entry is not None, path
        return os.fsdecode(read_link(self.descriptor(entry.place), os.fsencode(path)))

    def open(self, entry: Entry) -> int:
        return open_file(self.descriptor(entry.place), os.fsencode(entry.path))

    def descriptor(self, place: str) -> int:
        """A descriptor of one of the trees, open as long as the view is."""
        if place not in self._descriptors:
            self._descriptors[place] = open_tree(place)
        return self._descriptors[place]

    def merged(self, path: str) -> tuple[str, ...]:
        """The trees that the directory `path` is merged of, topmost first."""
        return self._directories(path)

    def read(self, path: str, limit: int) -> bytes | None:
        """The first `limit` bytes of the regular file that `path` resolves to; None when there is no such file."""
        entry = self.entry(resolve(self, path))
        if entry is None or not entry.is_file:
            return None
        with open(self.open(entry), "rb") as file:
            return file.read(limit)

    def _directories(self, path: str) -> tuple[str, ...]:
        """The trees whose directory `path` takes part in the merge; empty when the view has no directory there."""
        if path not in self._merged:
            self._merged[path] = tuple(self._merge(path))
        return self._merged[path]

    def _merge(self, path: str) -> list[str]:
        merged: list[str] = []
        for tree in self._directories(parent(path)):
            found = self._stat(tree, path)
            if found is None:
                continue
            if not stat.S_ISDIR(found[0]):
                break
            merged.append(tree)
            if is_opaque(self.descriptor(tree), os.fsencode(path)):
                break
        return merged

    def _stat(self, tree: str, path: str) -> _Stat | None:
        try:
            return _native.tree_stat(self.descriptor(tree), (os.fsencode(path),), self._owners)[0]
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _list(self, tree: str, path: str) -> dict[str, _Stat]:
        descriptor = self.descriptor(tree)
        found = names(descriptor, os.fsencode(path))
        paths = tuple(os.fsencode(join(path, name)) for name in found)
        return dict(zip(found, _native.tree_stat(descriptor, paths, self._owners), strict=True))


def _is_whiteout(found: _Stat) -> bool:
    return stat.S_ISCHR(found[0]) and found[3] == 0


def _entry(tree: str, path: str, found: _Stat) -> Entry:
    mode, uid, gid, rdev, size, mtime_ns, inode, links = found
    return Entry(path, mode, uid, gid, rdev, size, mtime_ns, (tree, inode), links, tree)


_EMPTY_ROOT = Entry("", stat.S_IFDIR | 0o755, 0, 0, 0, 0, 0, ("", 0), 2, "")
