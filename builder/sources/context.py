"""A directory of this machine as a build context, seen through its ignore file; nothing is walked in advance.

What was listed once stays so for the whole build: every step sees the same files, each looked at once.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from builder import _native
from builder.dockerfile import sieve
from builder.errors import BuildError, remedy
from builder.snapshots.filetree import join
from builder.sources import listing
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from builder.dockerfile.ignore import Ignore
    from builder.dockerfile.sieve import Place
    from builder.snapshots.filetree import Entry
    from builder.sources.listing import Files, Listing


class Folder(NamedTuple):
    """A directory that is copied, with those of its files that are.

    `path` is relative to where the walk began, "" is that itself; `directory` is relative to the context.
    """

    path: str
    directory: str
    row: bytes
    files: Files


class ContextTree:
    """A FileTree over a directory. Owners are 0:0, as COPY has them for context files."""

    def __init__(self, root: str, ignore: Ignore) -> None:
        self.root = root
        self.ignore = ignore
        self._listed: dict[str, Listing] = {}
        self._root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._root_fd)

    def entry(self, path: str) -> Entry | None:
        found = self._stat(path)
        if found is None or (path and self._hidden(path, found.st_mode)):
            return None
        return listing.entry(self.root, path, listing.row_of(found))

    def entries(self, path: str) -> list[Entry]:
        found = self.listing(path)
        files = sifted(found.files, [self._place(path)])
        directories = listing.entries(self.root, path, found.directories)
        shown = (each for each in directories if not self._hidden(each.path, each.mode))
        return sorted([*shown, *listing.entries(self.root, path, files)])

    def walk(self, top: str, below: str = "", exclude: Ignore | None = None) -> list[Folder]:
        """The directory `top`/`below` and all that is in it, a directory before what it holds.

        Paths and the patterns of `exclude` are relative to `top`. Directories that are excluded, here or by the
        context, are there for what is included in them.
        """
        row = listing.row_of(os.lstat(join(top, below) or ".", dir_fd=self._root_fd))
        places = [self._place(join(top, below) if below else top)]
        if exclude:
            places.append(_enter(sieve.start(exclude), below))
        return _Walk(self, top).folders(below, row, places)

    def listing(self, path: str) -> Listing:
        if path not in self._listed:
            self._listed[path] = self.read(path)
        return self._listed[path]

    def read(self, path: str) -> Listing:
        """The directory as it is now, whatever the ignore file says."""
        return listing.read(self._root_fd, path)

    def readlink(self, path: str) -> str:
        return os.readlink(path, dir_fd=self._root_fd)

    def xattrs(self, path: str) -> list[list[str]]:
        """Names and values (hex) of what a copy of a file or directory may carry, sorted by name."""
        place = f"/proc/self/fd/{self._root_fd}/{path}"
        try:
            found = os.listxattr(place, follow_symlinks=False)
            return [[name, os.getxattr(place, name, follow_symlinks=False).hex()] for name in _carried(found)]
        except OSError as error:
            if error.errno in (errno.ENOTSUP, errno.ENODATA, errno.ENOENT, errno.ENOTDIR):
                return []
            raise listing.unreadable(path, error) from error

    def open(self, entry: Entry) -> int:
        return self.open_at(entry.path, os.O_RDONLY | os.O_NOFOLLOW)

    def open_at(self, path: str, flags: int) -> int:
        return _native.open_in_root(self._root_fd, os.fsencode(path), flags)

    def descriptor(self, place: str) -> int:
        return self._root_fd

    def ignored(self, path: str) -> bool:
        """Whether `path` exists but the ignore file takes it out of the context."""
        found = self._stat(path)
        return found is not None and self._hidden(path, found.st_mode)

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            return os.lstat(path or ".", dir_fd=self._root_fd)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _place(self, path: str) -> Place:
        return _enter(sieve.start(self.ignore), path)

    def _hidden(self, path: str, mode: int) -> bool:
        """An excluded directory is there only for the sake of what is included below it."""
        if not self.ignore.excluded(path):
            return False
        return not (stat.S_ISDIR(mode) and self.ignore.may_contain_included(path) and _holds(self.walk(path)))


def _carried(names: Iterable[str]) -> list[str]:
    """No fewer than `native.place` copies."""
    return sorted(name for name in names if name.startswith("user.") or name == "security.capability")


def _enter(place: Place, path: str) -> Place:
    for name in filter(None, path.split("/")):
        place = place.enter(name)
    return place


class _Walk:
    """From a directory down, without recursion: nothing limits the depth of a context."""

    def __init__(self, tree: ContextTree, top: str) -> None:
        self._tree = tree
        self._top = top
        self._found: list[Folder] = []
        self._above: list[int] = []  # for each folder the number of the one that it is in
        self._excluded: list[int] = []

    def folders(self, below: str, row: bytes, places: list[Place]) -> list[Folder]:
        todo = [(below, row, places, -1)]
        while todo:
            path, row, places, above = todo.pop()
            if places[-1].excluded and self._found:
                self._excluded.append(len(self._found))
            directory = join(self._top, path) if path else self._top
            listed = self._tree.listing(directory)
            inner = self._inner(path, directory, listed.directories, places)
            todo += [(*each, len(self._found)) for each in reversed(list(inner))]
            self._found.append(Folder(path, directory, row, sifted(listed.files, places)))
            self._above.append(above)
        return self._without_hollow() if self._excluded else self._found

    def _inner(
        self, path: str, directory: str, inner: Files, places: Sequence[Place]
    ) -> Iterator[tuple[str, bytes, list[Place]]]:
        for raw, row in inner.each():
            name = os.fsdecode(raw)
            entered = [place.enter(name) for place in places]
            if any(place.dead for place in entered):
                continue
            # What the context does not have, it does not have either where --exclude would take it out.
            if len(entered) > 1 and entered[0].excluded and not _holds(self._tree.walk(join(directory, name))):
                continue
            yield join(path, name), row, entered

    def _without_hollow(self) -> list[Folder]:
        """Excluded folders in which nothing is included go; what they are in comes before them."""
        held = [bool(folder.files.total) for folder in self._found]
        gone = set(self._excluded)
        for number in range(len(self._found) - 1, 0, -1):
            if held[number]:
                gone.discard(number)
            if number not in gone:
                held[self._above[number]] = True
        return [folder for number, folder in enumerate(self._found) if number not in gone]


def sifted(files: Files, places: Iterable[Place]) -> Files:
    """Those that no place excludes."""
    hidden: set[int] = set()
    for place in places if files.total else ():
        flipped = place.flipped(os.fsdecode(files.names))
        hidden |= set(range(files.total)).difference(flipped) if place.excluded else set(flipped)
    return files.at(hidden, kept=False) if hidden else files


def _holds(folders: Sequence[Folder]) -> bool:
    return len(folders) > 1 or folders[0].files.total > 0


def open_context(root: str, ignore: Ignore, name: str = "build context") -> ContextTree:
    """The context rooted at a directory. Raises BuildError when it is none or cannot be read."""
    if not os.path.isdir(root):
        what = "is not a directory" if os.path.exists(root) else "does not exist"
        raise BuildError(f"{name} {root!r} {what}", hint="name the directory that holds the files to copy")
    if not os.access(root, os.R_OK | os.X_OK):
        raise BuildError(f"{name} {root!r} cannot be read: permission denied")
    try:
        return ContextTree(os.path.realpath(root), ignore)
    except OSError as error:
        raise BuildError(f"{name} {root!r} cannot be read: {error.strerror}", hint=remedy(error)) from error
