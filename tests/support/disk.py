"""Everything below a directory, or in a tar, that the image specification knows: what two trees are compared by."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

from builder.layers.tree import Meta, Owners
from tests.oracle import trees

Files = dict[bytes, "Entry"]
_KINDS = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}
_HAS_DEVICE = (stat.S_IFCHR, stat.S_IFBLK)


class Entry(NamedTuple):
    """`mode` with the type bits; `is_` a digest of the content, or a target; `links` all names of one file."""

    mode: int
    uid: int
    gid: int
    mtime: int
    device: tuple[int, int] = (0, 0)
    is_: bytes = b""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    links: tuple[bytes, ...] = ()


class Tree:
    """Files below `diff` with the effective metadata of a tree."""

    def __init__(self, diff: bytes, journal: dict[bytes, Meta], owners: Owners) -> None:
        self._tree = trees.Tree(diff, journal, owners)
        self.diff, self.path, self.xattrs = diff, self._tree.path, self._tree.xattrs

    def meta(self, name: bytes) -> Meta:
        return self._tree.meta(name)

    def inode(self, name: bytes) -> tuple[int, int]:
        """What all names of one file have in common."""
        st = os.lstat(self.path(name))
        return st.st_dev, st.st_ino


def of_directory(root: str | bytes) -> Files:
    """As the disk says it."""
    return of_tree(Tree(os.fsencode(root), {}, "real"))


def of_tree(tree: Tree) -> Files:
    """With the effective metadata of a tree. Its own directory is left out: no layer speaks of it here."""
    files, inodes = {}, {}
    for name in walk(tree.diff):
        files[name] = entry(tree, name)
        if not stat.S_ISDIR(files[name].mode):
            inodes.setdefault(tree.inode(name), []).append(name)
    return _linked(files, inodes.values())


def walk(root: bytes) -> Iterator[bytes]:
    for directory, directories, names in os.walk(root):
        for name in (*directories, *names):
            yield os.path.relpath(os.path.join(directory, name), root)


def entry(tree: Tree, name: bytes) -> Entry:
    """One file without its links."""
    st = os.lstat(tree.path(name))
    meta = tree.meta(name)
    device = (meta.rdev_major, meta.rdev_minor) if stat.S_IFMT(meta.mode) in _HAS_DEVICE else (0, 0)
    xattrs = tuple(tree.xattrs(name).items())
    return Entry(
        meta.mode, meta.uid, meta.gid, st.st_mtime_ns // 10**9, device, _is(tree.path(name), meta.mode), xattrs
    )


def _is(path: bytes, mode: int) -> bytes:
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if not stat.S_ISREG(mode):
        return b""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest().encode()


def of_tar(data: bytes) -> Files:
    """Of an archive without whiteouts."""
    files, groups = {}, {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape") as members:
        for member in members:
            name = os.fsencode(member.name).removeprefix(b"./").rstrip(b"/")
            if member.islnk():
                first = os.fsencode(member.linkname).removeprefix(b"./")
                groups[first].append(name)
                files[name] = files[first]
            elif name not in (b"", b"."):
                files[name] = _member(members, member)
                groups[name] = [name]
    return _linked(files, groups.values())


def _member(members: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    source = members.extractfile(member) if member.isreg() else None
    content = hashlib.sha256(source.read()).hexdigest().encode() if source else os.fsencode(member.linkname)
    device = (member.devmajor, member.devminor) if member.isblk() or member.ischr() else (0, 0)
    prefix = "SCHILY.xattr."
    xattrs = sorted(
        (key.removeprefix(prefix), os.fsencode(value))
        for key, value in member.pax_headers.items()
        if key.startswith(prefix)
    )
    mode = member.mode | _KINDS[member.type]
    return Entry(mode, member.uid, member.gid, int(member.mtime // 1), device, content, tuple(xattrs))


def _linked(files: Files, groups: object) -> Files:
    for names in groups:  # type: ignore[attr-defined]
        if len(names) > 1:
            for name in names:
                files[name] = files[name]._replace(links=tuple(sorted(names)))
    return files


def without_owners(files: Files) -> Files:
    """For who may not give files to others."""
    return {name: entry._replace(uid=0, gid=0) for name, entry in files.items()}


def differences(expected: Files, found: Files) -> list[tuple[bytes, Entry | None, Entry | None]]:
    names = sorted(expected.keys() | found.keys())
    pairs = [(name, expected.get(name), found.get(name)) for name in names]
    return [(name, one, other) for name, one, other in pairs if one != other]
