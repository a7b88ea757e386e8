"""What COPY reads from, whatever it is made of, and how paths resolve inside it.

Paths are str with surrogateescape, relative to the root of the tree, without leading, trailing or doubled
slashes; "" is the root. Resolution never leaves the root: `..` of the root is the root and absolute
link targets start there, as chroot(2) has it.
"""

from __future__ import annotations

import stat
from typing import Protocol

from builder.errors import BuildError
from builder.values import NamedTuple

MAX_LINKS = 40  # the kernel's own limit, path_resolution(7)


class Entry(NamedTuple):
    """One name of a tree, with its effective metadata. `mode` has type and permission bits.

    `place` is the directory (of a tree or a context) that physically holds `path`; `inode` tells hard links.
    """

    path: str
    mode: int
    uid: int
    gid: int
    rdev: int
    size: int
    mtime_ns: int
    inode: tuple[object, int]
    links: int
    place: str
    ctime_ns: int = 0

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)


class FileTree(Protocol):
    def entry(self, path: str) -> Entry | None:
        """The entry at a path whose parents are real directories; links are not followed; None when there is none."""
        ...

    def entries(self, path: str) -> list[Entry]:
        """What a directory holds, sorted by name."""
        ...

    def readlink(self, path: str) -> str: ...

    def open(self, entry: Entry) -> int:
        """A read-only descriptor of a regular file, which the caller closes."""
        ...

    def descriptor(self, place: str) -> int:
        """A descriptor of the directory `place` of an entry, which the tree keeps."""
        ...


def join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def parent(path: str) -> str:
    return path.rpartition("/")[0]


def resolve(tree: FileTree, path: str, *, follow: bool = True) -> str:
    """The canonical path that `path` names inside `tree`. Missing components stay as written.

    With `follow` a link in the last place is followed too. Raises BuildError on a loop of links.
    """
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            done = done[:-1]
            continue
        here = "/".join([*done, part])
        entry = tree.entry(here) if follow or todo else None
        if entry is None or not entry.is_link:
            done.append(part)
            continue
        links += 1
        if links > MAX_LINKS:
            raise BuildError(f"/{path}: too many levels of symbolic links")
        target = tree.readlink(here)
        if target.startswith("/"):
            done = []
        todo += [step for step in reversed(target.split("/")) if step not in ("", ".")]
    return "/".join(done)
