"""The twin of native.unpack, for archives that mean well."""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile

from builder.layers.tree import JOURNAL, OPAQUE_XATTR, Meta, Owners, create_tree, encode_journal
from tests.oracle.trees import is_carried, is_whiteout, write_meta, write_node_meta, write_xattrs

_TYPES = {
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


def unpack(tar: bytes, tree: str, *, owners: Owners) -> None:
    create_tree(tree)
    unpacking = _Unpacking(os.fsencode(tree) + b"/diff", owners)
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:", encoding="utf-8", errors="surrogateescape") as members:
        for member in members:
            unpacking.member(members, member)
    unpacking.finish(tree)


class _Unpacking:
    def __init__(self, root: bytes, owners: Owners) -> None:
        self.root, self.owners = root, owners
        self.directories: dict[bytes, tuple[Meta, int]] = {}
        self.journal: dict[bytes, Meta] = {}

    def member(self, members: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = os.fsencode(member.name).strip(b"/").removeprefix(b"./")
        above, leaf = os.path.split(b"" if name == b"." else name)
        parent = self.parent(above)
        path = os.path.join(parent, leaf)
        if leaf.startswith(b".wh."):
            self.whiteout(parent, leaf)
        else:
            self.make(members, member, path.rstrip(b"/"))

    def parent(self, name: bytes) -> bytes:
        """Where a directory really is, its symlinks resolved in-root; made when missing."""
        path = self.root
        for part in filter(None, name.split(b"/")):
            path = self.step(path, part)
        return path

    def step(self, above: bytes, part: bytes) -> bytes:
        path = os.path.join(above, part)
        if part == b"..":
            return above if above == self.root else os.path.dirname(above)
        if os.path.islink(path):
            target = os.readlink(path)
            path = self.root if target.startswith(b"/") else above
            for piece in filter(None, target.split(b"/")):
                path = path if piece == b"." else self.step(path, piece)
        elif not os.path.isdir(path):
            self.directory(path)
            self.remember(path, Meta(stat.S_IFDIR | 0o755, 0, 0), 0)
        return path

    def directory(self, path: bytes) -> None:
        if os.path.isdir(path) and not os.path.islink(path):
            return
        replaced = os.path.lexists(path)
        if replaced:
            os.unlink(path)
        os.mkdir(path, 0o700)
        if replaced:
            os.setxattr(path, OPAQUE_XATTR, b"y")

    def remember(self, path: bytes, meta: Meta, mtime_ns: int) -> None:
        self.directories.pop(path, None)
        self.directories[path] = (meta, mtime_ns)

    def whiteout(self, parent: bytes, leaf: bytes) -> None:
        path = os.path.join(parent, leaf[4:])
        if leaf == b".wh..wh..opq":
            os.setxattr(parent, OPAQUE_XATTR, b"y")
        elif leaf.startswith(b".wh..wh."):
            return
        elif not os.path.lexists(path):
            os.mknod(path, stat.S_IFCHR, 0)
        elif stat.S_ISDIR(os.lstat(path).st_mode):
            os.setxattr(path, OPAQUE_XATTR, b"y")

    def make(self, members: tarfile.TarFile, member: tarfile.TarInfo, path: bytes) -> None:
        if member.islnk():
            self.clear(path)
            above, leaf = os.path.split(os.fsencode(member.linkname).strip(b"/"))
            target = os.path.join(self.parent(above), leaf)
            os.link(target, path, follow_symlinks=False)
            self.copy_record(target, path)
            return
        kind = _TYPES.get(member.type, stat.S_IFREG)
        meta = Meta(kind | member.mode, member.uid, member.gid)
        mtime_ns = _mtime_ns(member)
        xattrs = _xattrs(member)
        if member.isdir():
            self.directory(path)
            write_xattrs(path, xattrs)
            self.remember(path, meta, mtime_ns)
            return
        self.clear(path)
        if member.issym():
            os.symlink(os.fsencode(member.linkname), path)
            self.node(path, meta._replace(mode=stat.S_IFLNK | 0o777), mtime_ns)
        elif member.isfifo():
            os.mkfifo(path)
            self.node(path, meta, mtime_ns)
        elif member.isdev():
            self.device(path, meta._replace(rdev_major=member.devmajor, rdev_minor=member.devminor), mtime_ns)
        else:
            source = members.extractfile(member)
            assert source
            with open(path, "xb") as file:
                shutil.copyfileobj(source, file)
            self.file(path, meta, xattrs, mtime_ns)

    def clear(self, path: bytes) -> None:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    def file(self, path: bytes, meta: Meta, xattrs: dict[str, bytes], mtime_ns: int) -> None:
        write_meta(path, meta, self.owners)
        write_xattrs(path, xattrs)
        os.utime(path, ns=(mtime_ns, mtime_ns))

    def device(self, path: bytes, meta: Meta, mtime_ns: int) -> None:
        if self.owners == "real":
            try:
                os.mknod(path, meta.mode, os.makedev(meta.rdev_major, meta.rdev_minor))
            except PermissionError:
                pass
            else:
                self.node(path, meta, mtime_ns)
                return
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        self.file(path, meta, {}, mtime_ns)

    def node(self, path: bytes, meta: Meta, mtime_ns: int) -> None:
        name = os.path.relpath(path, self.root)
        self.journal.pop(name, None)
        if write_node_meta(path, meta, self.owners):
            self.journal[name] = meta
        os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)

    def copy_record(self, target: bytes, path: bytes) -> None:
        record = self.journal.get(os.path.relpath(target, self.root))
        if record and not stat.S_ISREG(os.lstat(path).st_mode):
            self.journal[os.path.relpath(path, self.root)] = record

    def finish(self, tree: str) -> None:
        for path, (meta, mtime_ns) in self.directories.items():
            if os.path.isdir(path) and not os.path.islink(path):
                write_meta(path, meta, self.owners)
                os.utime(path, ns=(mtime_ns, mtime_ns))
        kept = {name: meta for name, meta in self.journal.items() if self._still(name, meta)}
        if kept:
            with open(os.path.join(tree, JOURNAL), "wb") as file:
                file.write(encode_journal(kept))

    def _still(self, name: bytes, meta: Meta) -> bool:
        path = os.path.join(self.root, name)
        if not os.path.lexists(path) or is_whiteout(os.lstat(path)):
            return False
        return stat.S_IFMT(os.lstat(path).st_mode) == stat.S_IFMT(meta.mode)


def _mtime_ns(member: tarfile.TarInfo) -> int:
    from decimal import Decimal

    exact = member.pax_headers.get("mtime")
    return int((Decimal(exact) if exact else Decimal(member.mtime)).scaleb(9).to_integral_value())


def _xattrs(member: tarfile.TarInfo) -> dict[str, bytes]:
    prefix = "SCHILY.xattr."
    found = {key[len(prefix) :]: value for key, value in member.pax_headers.items() if key.startswith(prefix)}
    return {key: os.fsencode(value) for key, value in found.items() if is_carried(key)}
