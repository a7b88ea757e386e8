"""The twin of native.pack: the whole archive in memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from builder.layers.tree import Meta, Owners
from tests.oracle.trees import Tree, is_opaque, is_whiteout, open_twin
from tests.support import tars

_KINDS = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}
_MOST = {"uid": 0o7777777, "gid": 0o7777777, "mtime": 0o77777777777, "size": 0o77777777777}


class Head(NamedTuple):
    meta: Meta
    mtime: int
    size: int
    target: bytes
    xattrs: dict[str, bytes]
    content: bytes


class View(NamedTuple):
    """Trees, topmost first, as one."""

    trees: tuple[Tree, ...]

    def owner(self, name: bytes) -> Tree | None:
        """The tree whose entry shows at `name`, if any."""
        for tree in self._reaching(os.path.dirname(name)):
            if os.path.lexists(tree.path(name)):
                return None if is_whiteout(os.lstat(tree.path(name))) else tree
        return None

    def names(self, directory: bytes) -> set[bytes]:
        found = {name for tree in self._reaching(directory) for name in os.listdir(tree.path(directory))}
        return {name for name in found if self.owner(os.path.join(directory, name))}

    def _reaching(self, directory: bytes) -> list[Tree]:
        """The trees whose directory at this path is part of the merged one."""
        if directory:
            candidates = self._reaching(os.path.dirname(directory))
        else:
            candidates = list(self.trees)
        reaching = []
        for tree in candidates:
            path = tree.path(directory)
            if not os.path.lexists(path):
                continue
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                break
            reaching.append(tree)
            if is_opaque(path):
                break
        return reaching


def pack(uppers: Sequence[str], lowers: Sequence[str], *, owners: Owners, clamp: int, layer: bool) -> bytes:
    packing = _Packing(uppers, lowers, owners, clamp, layer)
    packing.directory(b"", hidden=False)
    return tars.archive(*packing.parts)


class _Packing:
    def __init__(self, uppers: Sequence[str], lowers: Sequence[str], owners: Owners, clamp: int, layer: bool) -> None:
        self.upper = View(tuple(open_twin(tree, owners) for tree in uppers))
        self.lower = View(tuple(open_twin(tree, owners) for tree in lowers))
        self.clamp, self.layer = clamp, layer
        self.parts: list[bytes] = []
        self.links: dict[tuple[bytes, int, int], bytes] = {}
        self.pending: list[tuple[bytes, Head]] = []

    def directory(self, path: bytes, *, hidden: bool) -> None:
        hidden = hidden or (self.layer and is_opaque(self.upper.trees[0].path(path)))
        for name in sorted(self.whiteouts(path, hidden)) if self.layer else ():
            self.flush()
            head = Head(Meta(stat.S_IFREG, 0, 0), 0, 0, b"", {}, b"")
            self.parts += member(os.path.join(path, b".wh." + name), head)
        for name in sorted(self.upper.names(path)):
            self.entry(os.path.join(path, name), hidden)

    def whiteouts(self, path: bytes, hidden: bool) -> Iterator[bytes]:
        for name in self.lower.names(path) if self._is_lower_directory(path) else ():
            upper = self.upper.trees[0].path(os.path.join(path, name))
            there = os.path.lexists(upper)
            if (there and is_whiteout(os.lstat(upper))) or (hidden and not there):
                yield name

    def _is_lower_directory(self, path: bytes) -> bool:
        tree = self.lower.owner(path) if path else None
        return not path or (tree is not None and stat.S_ISDIR(os.lstat(tree.path(path)).st_mode))

    def entry(self, path: bytes, hidden: bool) -> None:
        tree = self.upper.owner(path)
        assert tree
        st = os.lstat(tree.path(path))
        if stat.S_ISSOCK(st.st_mode):
            return
        head = self.head(tree, path)
        same = self.same_below(path, head, st)
        if not stat.S_ISDIR(st.st_mode):
            if not same:
                self.write(tree, path, head, st)
            return
        self.pending.append((path, head))
        if not same:
            self.flush()
        self.directory(path, hidden=hidden)
        if self.pending and self.pending[-1][0] == path:
            self.pending.pop()

    def same_below(self, path: bytes, head: Head, st: os.stat_result) -> bool:
        below = self.lower.owner(path) if self.layer else None
        if below is None or (self.siblings(st) and not stat.S_ISDIR(st.st_mode)):
            return False
        return self.head(below, path) == head

    def siblings(self, st: os.stat_result) -> bool:
        """Whether the upper tree has more than one name of it; `st_nlink` counts names outside of it too."""
        top = self.upper.trees[0].path(b"")
        walk = ((folder, name) for folder, folders, files in os.walk(top) for name in [*folders, *files])
        return sum(os.path.samestat(os.lstat(os.path.join(*names)), st) for names in walk) > 1

    def head(self, tree: Tree, path: bytes) -> Head:
        disk = tree.path(path)
        st = os.lstat(disk)
        regular = stat.S_ISREG(st.st_mode)
        content = b""
        if regular:
            with open(disk, "rb") as file:
                content = file.read()
        target = os.readlink(disk) if stat.S_ISLNK(st.st_mode) else b""
        mtime = min(st.st_mtime_ns // 10**9, self.clamp)
        return Head(tree.meta(path), mtime, len(content), target, tree.xattrs(path), content)

    def write(self, tree: Tree, path: bytes, head: Head, st: os.stat_result) -> None:
        self.flush()
        first = self.links.setdefault((tree.diff, st.st_dev, st.st_ino), path)
        self.parts += member(path, head, None if first == path else first)

    def flush(self) -> None:
        for path, head in self.pending:
            self.parts += member(path, head)
        self.pending.clear()


def member(path: bytes, head: Head, link: bytes | None = None) -> list[bytes]:
    """Extended header if one is needed, header, data."""
    meta = head.meta
    kind = b"1" if link is not None else _KINDS[stat.S_IFMT(meta.mode)]
    name = path + b"/" if kind == b"5" else path
    target = link if link is not None else head.target
    numbers = {"size": head.size if kind == b"0" else 0, "uid": meta.uid, "gid": meta.gid, "mtime": head.mtime}
    large = {key: value for key, value in numbers.items() if not 0 <= value <= _MOST[key]}
    prefix, short = split(name)
    records: dict[bytes, bytes] = {b"path": name} if prefix is None else {}
    if len(target) > 100:
        records[b"linkpath"] = target
    records |= {key.encode(): b"%d" % value for key, value in large.items()}
    if link is None:
        records |= {b"SCHILY.xattr." + key.encode(): value for key, value in head.xattrs.items()}
    fields = {key: 0 if key in large else value for key, value in numbers.items()}
    device = (meta.rdev_major, meta.rdev_minor) if kind in (b"3", b"4") else (0, 0)
    block = tars.header(
        short, kind=kind, mode=stat.S_IMODE(meta.mode), link=target, device=device, prefix=prefix or b"", **fields
    )
    data = [tars.padded(head.content)] if kind == b"0" else []
    return [*([tars.pax(records)] if records else []), block, *data]


def split(name: bytes) -> tuple[bytes | None, bytes]:
    """USTAR's prefix and name; prefix None when they cannot hold it."""
    if len(name) <= 100:
        return b"", name
    slash = name.rfind(b"/", 0, min(len(name) - 1, 156))
    if slash > 0 and len(name) - slash - 1 <= 100:
        return name[:slash], name[slash + 1 :]
    return None, name
