"""The twin of native.place (by way of its Python face)."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence

from builder.layers.place import Entry, Source
from builder.layers.tree import OPAQUE_XATTR, Meta, Owners, read_journal, write_journal
from tests.oracle.trees import Tree, write_meta, write_node_meta, write_xattrs


class _Origin:
    """What a source says of itself."""

    def __init__(self, entry: Entry, owners: Owners, source: Source) -> None:
        root = os.readlink(f"/proc/self/fd/{entry.src_fd}")
        is_tree = source == "tree" or entry.kind == "copyup"
        self.tree = Tree(os.fsencode(root) + (b"/diff" if is_tree else b""), {}, owners)
        if is_tree:
            self.tree = self.tree._replace(journal=read_journal(root))
        self.path = self.tree.path(entry.src)
        self.st = os.lstat(self.path)
        st = self.st
        self.meta = self.tree.meta(entry.src) if is_tree else Meta(st.st_mode, st.st_uid, st.st_gid)
        self.xattrs = self.tree.xattrs(entry.src)


def place(entries: Sequence[Entry], tree: str, *, owners: Owners, source: Source) -> None:
    placing = _Placing(tree, owners, source)
    for entry in entries:
        placing.entry(Entry(*entry))
    placing.finish()


class _Placing:
    def __init__(self, tree: str, owners: Owners, source: Source) -> None:
        self.tree, self.owners, self.source = tree, owners, source
        self.journal = read_journal(tree)
        self.directories: list[tuple[bytes, Meta, int | None]] = []

    def entry(self, entry: Entry) -> None:
        path = os.path.join(os.fsencode(self.tree), b"diff", entry.path)
        origin = _Origin(entry, self.owners, self.source) if entry.src_fd >= 0 else None
        getattr(self, entry.kind)(entry, path, origin)

    def finish(self) -> None:
        for path, meta, mtime_ns in self.directories:
            write_meta(path, meta, self.owners)
            if mtime_ns is not None:
                os.utime(path, ns=(mtime_ns, mtime_ns))
        write_journal(self.tree, self.journal)

    def dir(self, entry: Entry, path: bytes, origin: _Origin | None) -> None:
        if not os.path.isdir(path) or os.path.islink(path):
            replaced = os.path.lexists(path)
            _clear(path)
            os.mkdir(path, 0o700)
            if replaced:
                os.setxattr(path, OPAQUE_XATTR, b"y")
        write_xattrs(path, origin.xattrs if origin else {})
        self.directories.append((path, _wanted(entry, origin, stat.S_IFDIR), _mtime(entry, origin)))

    def copyup(self, entry: Entry, path: bytes, origin: _Origin | None) -> None:
        if not os.path.isdir(path) or os.path.islink(path):
            self.dir(entry._replace(mode=-1, uid=-1, gid=-1, mtime_ns=None), path, origin)

    def file(self, entry: Entry, path: bytes, origin: _Origin | None) -> None:
        _clear(path)
        with open(path, "xb") as file:
            if isinstance(entry.extra, bytes):
                file.write(entry.extra)
            else:
                assert origin
                with open(origin.path, "rb") as source:
                    shutil.copyfileobj(source, file)
        self._finish_file(entry, path, origin, stat.S_IFREG)

    def _finish_file(self, entry: Entry, path: bytes, origin: _Origin | None, kind: int) -> None:
        write_meta(path, _wanted(entry, origin, kind), self.owners)
        write_xattrs(path, origin.xattrs if origin else {})
        if (mtime_ns := _mtime(entry, origin)) is not None:
            os.utime(path, ns=(mtime_ns, mtime_ns))

    def symlink(self, entry: Entry, path: bytes, origin: _Origin | None) -> None:
        target = entry.extra if isinstance(entry.extra, bytes) else os.readlink(origin.path if origin else b"")
        _clear(path)
        os.symlink(target, path)
        self._finish_node(entry, path, _wanted(entry, origin, stat.S_IFLNK)._replace(mode=stat.S_IFLNK | 0o777), origin)

    def fifo(self, entry: Entry, path: bytes, origin: _Origin | None) -> None:
        _clear(path)
        os.mkfifo(path)
        self._finish_node(entry, path, _wanted(entry, origin, stat.S_IFIFO), origin)

    def device(self, entry: Entry, path: bytes, origin: _Origin | None) -> None:
        kind = stat.S_IFMT(entry.mode if entry.mode >= 0 else origin.meta.mode if origin else 0)
        _clear(path)
        if self.owners == "real":
            try:
                os.mknod(path, kind | 0o600, int(entry.extra or 0))
            except PermissionError:
                pass
            else:
                self._finish_node(entry, path, _wanted(entry, origin, kind), origin)
                return
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        self._finish_file(entry, path, origin, kind)

    def hardlink(self, entry: Entry, path: bytes, origin: _Origin | None) -> None:
        assert isinstance(entry.extra, bytes)
        _clear(path)
        os.link(os.path.join(os.fsencode(self.tree), b"diff", entry.extra), path, follow_symlinks=False)
        if entry.extra in self.journal:
            self.journal[entry.path] = self.journal[entry.extra]

    def whiteout(self, entry: Entry, path: bytes, origin: _Origin | None) -> None:
        _clear(path)
        os.mknod(path, stat.S_IFCHR, 0)

    def _finish_node(self, entry: Entry, path: bytes, meta: Meta, origin: _Origin | None) -> None:
        self.journal.pop(entry.path, None)
        if write_node_meta(path, meta, self.owners):
            self.journal[entry.path] = meta
        if (mtime_ns := _mtime(entry, origin)) is not None:
            os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=False)


def _wanted(entry: Entry, origin: _Origin | None, kind: int) -> Meta:
    source = origin.meta if origin else Meta(0, 0, 0)
    device = entry.extra if isinstance(entry.extra, int) else 0
    return Meta(
        kind | stat.S_IMODE(entry.mode if entry.mode >= 0 else source.mode),
        entry.uid if entry.uid >= 0 else source.uid,
        entry.gid if entry.gid >= 0 else source.gid,
        os.major(device),
        os.minor(device),
    )


def _mtime(entry: Entry, origin: _Origin | None) -> int | None:
    return entry.mtime_ns if entry.mtime_ns is not None or origin is None else origin.st.st_mtime_ns


def _clear(path: bytes) -> None:
    if os.path.lexists(path):
        os.unlink(path)
