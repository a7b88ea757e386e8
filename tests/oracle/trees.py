"""Effective metadata in plain Python; the format is in builder.layers.tree."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from builder.layers.tree import CAPABILITY_XATTR, STAT_XATTR, Meta, Owners, parse_meta, read_journal

CAPABILITY = "security.capability"


def is_whiteout(st: os.stat_result) -> bool:
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def is_opaque(path: bytes) -> bool:
    try:
        return os.getxattr(path, "user.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False


def _holds_xattrs(st: os.stat_result) -> bool:
    return stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode)


class Tree(NamedTuple):
    diff: bytes
    journal: dict[bytes, Meta]
    owners: Owners

    def path(self, name: bytes) -> bytes:
        return os.path.join(self.diff, name)

    def meta(self, name: bytes) -> Meta:
        st = os.lstat(self.path(name))
        real = self.owners == "real"
        device = os.major(st.st_rdev), os.minor(st.st_rdev)
        plain = Meta(st.st_mode, st.st_uid if real else 0, st.st_gid if real else 0, *device)
        if not _holds_xattrs(st):
            record = self.journal.get(name)
            return record if record and stat.S_IFMT(record.mode) == stat.S_IFMT(st.st_mode) else plain
        return self._recorded(name, st) or plain

    def _recorded(self, name: bytes, st: os.stat_result) -> Meta | None:
        if self.owners == "real" and st.st_uid != 0:
            return None
        try:
            text, _, disk = os.getxattr(self.path(name), STAT_XATTR).rpartition(b" ")
        except OSError:
            return None
        record = parse_meta(text)
        if stat.S_IMODE(st.st_mode) != stat.S_IMODE(int(disk, 8)):
            return record._replace(mode=stat.S_IFMT(record.mode) | stat.S_IMODE(st.st_mode))
        return record

    def xattrs(self, name: bytes) -> dict[str, bytes]:
        path = self.path(name)
        if not _holds_xattrs(os.lstat(path)):
            return {}
        found = {key: os.getxattr(path, key) for key in os.listxattr(path)}
        if CAPABILITY_XATTR in found:
            found[CAPABILITY] = found[CAPABILITY_XATTR]
        carried = {key: value for key, value in found.items() if is_carried(key)}
        if len(carried.get(CAPABILITY, b"")) == 24:
            value = carried[CAPABILITY]
            carried[CAPABILITY] = value[:3] + b"\x02" + value[4:20]
        return dict(sorted(carried.items()))


def open_twin(tree: str, owners: Owners) -> Tree:
    return Tree(os.fsencode(tree) + b"/diff", read_journal(tree), owners)


def is_carried(xattr: str) -> bool:
    refused = ("user.overlay.", "user.rbuild.", "user.containers.")
    if xattr == "user.rootlesscontainers" or xattr.startswith(refused):
        return False
    return xattr == CAPABILITY or (xattr.startswith("user.") and len(xattr) > 5)


def write_meta(path: bytes, want: Meta, owners: Owners) -> None:
    """Of a regular file or directory."""
    refused = bool(want.uid or want.gid)
    is_device = stat.S_IFMT(want.mode) in (stat.S_IFCHR, stat.S_IFBLK)
    if owners == "real":
        refused = is_device or not _chown(path, want)
    is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
    bits = stat.S_IMODE(want.mode) & (0o777 if is_device else 0o7777)
    if owners == "recorded":
        bits |= 0o700 if is_directory else 0o400
    os.chmod(path, bits)
    disk = os.lstat(path).st_mode
    if refused or disk != want.mode:
        _setxattr(path, STAT_XATTR, want.encode() + b" %o" % disk)


def write_node_meta(path: bytes, want: Meta, owners: Owners) -> bool:
    """Of a symlink or special file; whether the journal must have it."""
    refused = bool(want.uid or want.gid)
    if owners == "real":
        refused = not _chown(path, want)
    if stat.S_ISLNK(want.mode):
        return refused
    os.chmod(path, stat.S_IMODE(want.mode))
    return refused or os.lstat(path).st_mode != want.mode


def write_xattrs(path: bytes, xattrs: dict[str, bytes]) -> None:
    for name, value in xattrs.items():
        try:
            _setxattr(path, name, value)
        except OSError:
            if name != CAPABILITY:
                raise
            _setxattr(path, CAPABILITY_XATTR, value)


def _setxattr(path: bytes, name: str, value: bytes) -> None:
    """Which takes write permission."""
    mode = stat.S_IMODE(os.lstat(path).st_mode)
    os.chmod(path, mode | 0o200)
    try:
        os.setxattr(path, name, value)
    finally:
        os.chmod(path, mode)


def _chown(path: bytes, want: Meta) -> bool:
    try:
        os.chown(path, want.uid, want.gid, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EINVAL):
            raise
        return False
    return True
