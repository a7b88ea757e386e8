"""A tree: the directory that holds the files of one layer or snapshot.

    T/diff/      the files in overlayfs "userxattr" form: a whiteout is a character device 0:0, an opaque
                 directory has the xattr user.overlay.opaque="y"
    T/journal    optional: metadata of what cannot hold a user xattr (symlinks, FIFOs), sorted by path:
                 path NUL mode SP uid SP gid SP major:minor NUL      (mode octal with the type bits)
    T/implied    optional: directories that the layer has something in but says nothing of, the innermost of each
                 branch; path NUL. Those have 0755, uid and gid 0, and the modification time IMPLIED_NS

The *effective* metadata of an entry is what the image says; the disk holds what the kernel granted.
Regular files and directories carry the difference in the xattr `user.rbuild.stat`:

    mode SP uid SP gid SP major:minor SP diskmode          (modes octal with the type bits)

`diskmode` is what was on disk when the record was made: when the permission bits on disk differ from it,
a step has chmodded the file since, and the bits on disk win. A chmod to the very bits on disk leaves no trace:
in a tree of recorded owners these are more than the image says where its owner might not read a file or not
use a directory. A device node that may not be made is an empty regular file whose record has the true type.

Owners "recorded": everything on disk belongs to one user, no record means 0:0, and directories have
u+rwx and files u+r on disk. Owners "real": no record means what `stat` says, and a record counts only
on files of uid 0, because a step's own user could write one.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, Literal

from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Owners = Literal["real", "recorded"]
Whiteouts = Literal["overlay", "literal"]

DIFF: Final = "diff"
JOURNAL: Final = "journal"
IMPLIED: Final = "implied"
STAT_XATTR: Final = "user.rbuild.stat"
CAPABILITY_XATTR: Final = "user.rbuild.capability"
OPAQUE_XATTR: Final = "user.overlay.opaque"
IMPLIED_NS: Final = 1  # as native/unpack.c has it


class Meta(NamedTuple):
    """Effective metadata; `mode` includes the type bits."""

    mode: int
    uid: int
    gid: int
    rdev_major: int = 0
    rdev_minor: int = 0

    def encode(self) -> bytes:
        return b"%o %d %d %d:%d" % self


def parse_meta(text: bytes) -> Meta:
    """The inverse of `Meta.encode`; ValueError when the text is not one."""
    mode, uid, gid, rdev = text.split(b" ")
    major, minor = rdev.split(b":")
    return Meta(int(mode, 8), int(uid), int(gid), int(major), int(minor))


def create_tree(tree: str) -> None:
    """Make an empty tree at `tree`, which may exist as an empty directory."""
    os.makedirs(os.path.join(tree, DIFF), mode=0o755, exist_ok=True)


def open_tree(tree: str) -> int:
    """A descriptor of T for the functions of `_native` that take a tree."""
    return os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_file(tree: int, path: bytes) -> int:
    """A read-only descriptor of a regular file (a recorded device node reads as empty). ValueError(reason, path)."""
    import stat

    descriptor = _open(tree, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise ValueError("not a regular file", path)


def read_link(tree: int, path: bytes) -> bytes:
    """The target of a symlink. OSError for what is none."""
    descriptor = _open(tree, path, os.O_PATH)
    try:
        return os.readlink(b"", dir_fd=descriptor)
    finally:
        os.close(descriptor)


def names(tree: int, path: bytes) -> list[str]:
    """What the directory `path` of this tree has, whiteouts too, in any order."""
    descriptor = _open(tree, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return os.listdir(descriptor)
    finally:
        os.close(descriptor)


def is_opaque(tree: int, path: bytes) -> bool:
    """Whether the directory `path` of this tree hides what lower trees have there."""
    descriptor = _open(tree, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return os.getxattr(descriptor, OPAQUE_XATTR) == b"y"
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        return False
    finally:
        os.close(descriptor)


def _open(tree: int, path: bytes, flags: int) -> int:
    """A descriptor of one entry; no symlink is followed, in no component."""
    from builder import _native

    diff = os.open(DIFF, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=tree)
    try:
        return _native.open_in_root(diff, path, flags | os.O_NOFOLLOW, beneath=True)
    finally:
        os.close(diff)


def read_journal(tree: str) -> dict[bytes, Meta]:
    """The records of T/journal by path; a tree without one has none."""
    try:
        with open(os.path.join(tree, JOURNAL), "rb") as file:
            fields = file.read().split(b"\0")
    except FileNotFoundError:
        return {}
    return {path: parse_meta(text) for path, text in zip(fields[0:-1:2], fields[1::2], strict=True)}


def encode_journal(records: Mapping[bytes, Meta]) -> bytes:
    return b"".join(b"%b\0%b\0" % (path, records[path].encode()) for path in sorted(records))


def write_journal(tree: str, records: Mapping[bytes, Meta]) -> None:
    """Replace T/journal in one rename; no records, no file."""
    path = os.path.join(tree, JOURNAL)
    if not records:
        if os.path.lexists(path):
            os.unlink(path)
        return
    with open(path + ".new", "wb") as file:
        file.write(encode_journal(records))
    os.rename(path + ".new", path)


def has_implied(tree: str) -> bool:
    return os.path.exists(os.path.join(tree, IMPLIED))


def read_implied(tree: str) -> list[bytes]:
    """The paths of T/implied; a tree without one has none."""
    try:
        with open(os.path.join(tree, IMPLIED), "rb") as file:
            return file.read().split(b"\0")[:-1]
    except FileNotFoundError:
        return []


def seal(tree: str) -> None:
    """After a step has written a tree of recorded owners: the user can read and delete all of it (`tree_seal`)."""
    from builder import _native

    descriptor = open_tree(tree)
    try:
        _native.tree_seal(descriptor)
    finally:
        os.close(descriptor)
