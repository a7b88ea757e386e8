"""Trees that share files: a hard link instead of a copy, where no step will see it.

A step can tell a file with two names from one with one: gzip, bzip2 and xz refuse it, cp says that both are the
same, cpio writes the number down. So a link between two trees is made only where no step has run on the tree that
the file is in, and what a step runs on shows none: where one comes to a tree that shares files after all, it finds
copies of them in a tree laid over it.

    T/ran       a step has run on this tree: nothing is linked from it any more
    T/shared    files of this tree may be those of another; locked by who is linking
    T/own/      a tree of copies of those files, for steps
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.layers.place import place
from builder.layers.tree import create_tree
from builder.snapshots.snapshot import Snapshot
from builder.snapshots.view import View
from builder.store.files import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.layers.tree import Owners
    from builder.snapshots.filetree import Entry


_FICLONE = 0x40049409  # ioctl_ficlone(2)


@contextmanager
def lent(trees: Sequence[str], tree: str) -> Iterator[bytes]:
    """Whether files of each of `trees` may be linked into the new tree `tree` within the block: 1 or 0, a byte each.

    Not where the file system clones: what is cloned nobody can tell from a copy.
    """
    cloned = bool(trees) and _clones(tree)
    held = [None if cloned else _lend(one) for one in trees]
    try:
        if any(fd is not None for fd in held):
            os.close(_open(f"{tree}/shared"))
        yield bytes(fd is not None for fd in held)
    finally:
        for fd in held:
            if fd is not None:
                os.close(fd)


def _clones(tree: str) -> bool:
    names = f"{tree}/clone.1", f"{tree}/clone.2"
    one, other = (_open(name) for name in names)
    try:
        os.write(one, bytes(4096))
        fcntl.ioctl(other, _FICLONE, one)
    except OSError:
        return False
    finally:
        for fd, name in ((one, names[0]), (other, names[1])):
            os.close(fd)
            os.unlink(name)
    return True


def _lend(tree: str) -> int | None:
    """Marked first and then looked at again: a step marks first, too, so that one of the two sees the other."""
    if os.path.exists(f"{tree}/ran"):
        return None
    try:
        fd = _open(f"{tree}/shared")
    except OSError:  # a store that others have filled
        return None
    fcntl.flock(fd, fcntl.LOCK_SH)
    if os.path.exists(f"{tree}/ran"):
        os.close(fd)
        return None
    return fd


def lowers(trees: Sequence[str], owners: Owners) -> list[str]:
    """The directories of `trees` for the overlay of a step, topmost first. From now on nothing is linked from them."""
    return [lower for tree in trees for lower in _lowers(tree, owners)]


def _lowers(tree: str, owners: Owners) -> list[str]:
    if not os.path.exists(f"{tree}/ran"):
        os.close(_open(f"{tree}/ran"))
    if os.path.exists(f"{tree}/shared"):
        _make_own(tree, owners)
        return [f"{tree}/own/diff", f"{tree}/diff"]
    return [f"{tree}/diff"]


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)


def _make_own(tree: str, owners: Owners) -> None:
    fd = _open(f"{tree}/shared")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # until those that are linking are done
        if not os.path.isdir(f"{tree}/own"):
            remove_tree(f"{tree}/own.new")
            _copy_shared(tree, f"{tree}/own.new", owners)
            os.rename(f"{tree}/own.new", f"{tree}/own")
    finally:
        os.close(fd)


def _copy_shared(tree: str, new: str, owners: Owners) -> None:
    create_tree(new)
    with View(Snapshot((tree,)), owners) as view:
        groups: dict[int, list[Entry]] = {}
        for entry in _files(view):
            groups.setdefault(entry.inode[1], []).append(entry)
        found = [group for group in groups.values() if group[0].links > len(group)]
        source = view.descriptor(tree)
        rows = [_row("dir", path, source) for path in _directories(found)]
        for first, *others in found:
            rows.append(_row("file", first.path, source))
            rows += [("hardlink", os.fsencode(name.path), 0, 0, 0, None, -1, b"", _name(first)) for name in others]
        place(rows, new, owners=owners, source="tree")


def _files(view: View) -> Iterator[Entry]:
    """Those with several names, in any order. A step may have nested directories deeper than Python may recur."""
    waiting = [""]
    while waiting:
        for entry in view.entries(waiting.pop()):
            if entry.is_dir:
                waiting.append(entry.path)
            elif entry.is_file and entry.links > 1:
                yield entry


def _directories(groups: Sequence[Sequence[Entry]]) -> list[str]:
    """Those on the way to each name, outer ones first; the root is one."""
    found = {""}
    for group in groups:
        for entry in group:
            parts = entry.path.split("/")
            found.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return sorted(found)


def _row(kind: str, path: str, source: int) -> tuple[object, ...]:
    return (kind, os.fsencode(path), -1, -1, -1, None, source, os.fsencode(path), None)


def _name(entry: Entry) -> bytes:
    return os.fsencode(entry.path)
