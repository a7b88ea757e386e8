"""What stands below a source directory: all of it, or what a pattern of --parents matches."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile.globs import match
from builder.snapshots.filetree import join
from builder.sources import listing
from builder.sources.context import ContextTree, Folder
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from builder.dockerfile.ignore import Ignore
    from builder.snapshots.filetree import Entry, FileTree

_WILD = re.compile(r"[*?\[\\]")


class Member(NamedTuple):
    """An entry below a source directory; `path` is relative to that directory."""

    path: str
    entry: Entry


class Members:
    """Members of one source. Whole directories of a context stay packed until somebody asks for each file."""

    def __init__(self, place: str, pieces: Sequence[Member | Folder]) -> None:
        """`place` is that of the entries of the folders."""
        self._place = place
        self.pieces = pieces

    def __len__(self) -> int:
        return sum(1 if isinstance(piece, Member) else bool(piece.path) + piece.files.total for piece in self.pieces)

    def __iter__(self) -> Iterator[Member]:
        for piece in self.pieces:
            if isinstance(piece, Member):
                yield piece
            else:
                yield from self._unpacked(piece)

    def _unpacked(self, folder: Folder) -> Iterator[Member]:
        if folder.path:
            yield Member(folder.path, listing.entry(self._place, folder.directory, folder.row))
        for entry in listing.entries(self._place, folder.directory, folder.files):
            yield Member(join(folder.path, entry.name), entry)


def all_below(tree: FileTree, top: str, ignore: Ignore | None) -> Members:
    """All below `top`; paths and `ignore` are relative to it."""
    if isinstance(tree, ContextTree):
        return Members(tree.root, tree.walk(top, exclude=ignore))
    return Members("", list(members_below(tree, top, "", ignore)))


def members_below(tree: FileTree, top: str, below: str, ignore: Ignore | None) -> Iterator[Member]:
    """All below `top`/`below`, a directory before its content; paths and `ignore` are relative to `top`."""
    for entry in tree.entries(join(top, below) if below else top):
        path = join(below, entry.name)
        excluded = ignore is not None and ignore.excluded(path)
        if excluded and not (entry.is_dir and ignore is not None and ignore.may_contain_included(path)):
            continue
        inside = tuple(members_below(tree, top, path, ignore)) if entry.is_dir else ()
        if not excluded or inside:
            yield Member(path, entry)
            yield from inside


def matching(tree: FileTree, top: str, pattern: str, ignore: Ignore | None) -> Members:
    """What `pattern` matches below `top`, directories whole, with the directories on the way. Links are not followed.

    `**` stands for any number of components (dockerfile-language 1.9, --parents).
    """
    parts = tuple(pattern.split("/")) if pattern else ()
    if not parts:
        return all_below(tree, top, ignore)
    place = tree.root if isinstance(tree, ContextTree) else ""
    return Members(place, list(_matching(tree, top, "", parts, _closed(parts, {0}), ignore)))


def _matching(
    tree: FileTree, top: str, below: str, parts: Sequence[str], positions: set[int], ignore: Ignore | None
) -> Iterator[Member | Folder]:
    """`positions` in `parts` are where a match of `below` can go on."""
    for entry in candidates(
        tree, join(top, below) if below else top, [parts[number] for number in positions if number < len(parts)]
    ):
        path = join(below, entry.name)
        following = _advance(parts, positions, entry.name)
        complete = len(parts) in following
        excluded = ignore is not None and ignore.excluded(path)
        if excluded and not (entry.is_dir and ignore is not None and ignore.may_contain_included(path)):
            continue
        found: list[Member | Folder] = [Member(path, entry)]
        if entry.is_dir and complete:
            found = _whole(tree, top, Member(path, entry), ignore)
        elif entry.is_dir and following:
            found += _matching(tree, top, path, parts, following, ignore)
        if (complete and not excluded) or _holds(found):
            yield from found


def _whole(tree: FileTree, top: str, directory: Member, ignore: Ignore | None) -> list[Member | Folder]:
    """A directory and all in it."""
    if isinstance(tree, ContextTree):
        return [*tree.walk(top, directory.path, ignore)]
    return [directory, *members_below(tree, top, directory.path, ignore)]


def _holds(found: Sequence[Member | Folder]) -> bool:
    """Whether there is anything in a directory, which is the first."""
    return len(found) > 1 or (isinstance(found[0], Folder) and found[0].files.total > 0)


def candidates(tree: FileTree, directory: str, parts: Iterable[str]) -> list[Entry]:
    """The entries that one of `parts` may match. A directory is listed only for a wildcard."""
    names = sorted(set(parts))
    if any(_WILD.search(name) for name in names):
        return tree.entries(directory)
    found = (tree.entry(join(directory, name)) for name in names)
    return [entry for entry in found if entry is not None]


def _advance(parts: Sequence[str], positions: set[int], name: str) -> set[int]:
    following = set()
    for number in positions - {len(parts)}:
        if parts[number] == "**":
            following.add(number)
        elif match(parts[number], name):
            following.add(number + 1)
    return _closed(parts, following)


def _closed(parts: Sequence[str], positions: set[int]) -> set[int]:
    """With the positions that are reached when `**` stands for nothing; the end is one, and goes nowhere."""
    closed = set(positions)
    todo = list(positions)
    while todo:
        number = todo.pop()
        if number < len(parts) and parts[number] == "**" and number + 1 not in closed:
            closed.add(number + 1)
            todo.append(number + 1)
    return closed
