"""Looking into one tree from Python: stat, list, readlink, open, seal; and opening in a root."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from builder import _native
from builder.layers.tree import Owners, is_opaque, names, open_file, open_tree, read_link
from tests.support import tars
from tests.support.trees import EACH_OWNERS, NATIVE


def unpacked(tmp_path: Path, *parts: bytes, owners: Owners = "recorded") -> int:
    return open_tree(NATIVE.unpack(tars.archive(*parts), tmp_path / "tree", owners=owners))


@EACH_OWNERS
def test_stat_gives_effective_metadata(owners: Owners, tmp_path: Path) -> None:
    """Of every kind, records and journal included, by lstat's rules."""
    tree = unpacked(
        tmp_path,
        tars.directory(b"d/", mode=0o500, uid=1, gid=2, mtime=3),
        tars.file(b"d/f", b"abc", mode=0o4000, uid=4, gid=5, mtime=6),
        tars.header(b"d/null", kind=b"3", mode=0o666, gid=7, device=(1, 3)),
        tars.symlink(b"d/s", b"target", uid=8, gid=9),
        tars.file(b".wh.gone"),
        owners=owners,
    )

    paths = (b"d", b"d/f", b"d/null", b"d/s", b"gone")
    stats = dict(zip(paths, _native.tree_stat(tree, paths, owners), strict=True))
    os.close(tree)

    assert stats[b"d"][:3] == (stat.S_IFDIR | 0o500, 1, 2)
    assert stats[b"d/f"][:6] == (stat.S_IFREG | 0o4000, 4, 5, 0, 3, 6 * 10**9)
    assert stats[b"d/null"][:5] == (stat.S_IFCHR | 0o666, 0, 7, os.makedev(1, 3), 0)
    assert stats[b"d/s"][:3] == (stat.S_IFLNK | 0o777, 8, 9)
    assert stat.S_ISCHR(stats[b"gone"][0])
    assert stats[b"gone"][3] == 0


def test_names_are_raw(tmp_path: Path) -> None:
    """Whiteouts are among them; the directory says whether it is opaque."""
    tree = unpacked(
        tmp_path, tars.file(b"d/b"), tars.file(b"d/.wh.a"), tars.file(b"d/.wh..wh..opq"), tars.file(b"\xff")
    )

    opaque = [is_opaque(tree, path) for path in (b"d", b"")]
    found = [sorted(names(tree, path)) for path in (b"d", b"")]
    os.close(tree)

    assert opaque == [True, False]
    assert found == [["a", "b"], ["d", os.fsdecode(b"\xff")]]


def test_read_link_and_file(tmp_path: Path) -> None:
    """A recorded device has no bytes; a directory cannot be opened as a file."""
    tree = unpacked(tmp_path, tars.directory(b"d/"), tars.file(b"d/f", b"abc"), tars.symlink(b"s", b"d\xff"))

    assert read_link(tree, b"s") == b"d\xff"
    with os.fdopen(open_file(tree, b"d/f"), "rb") as file:
        assert file.read() == b"abc"
    with pytest.raises(ValueError, match="not a regular file"):
        open_file(tree, b"d")
    os.close(tree)


@pytest.mark.parametrize("path", [b"s/x", b"../x", b"/etc", b"nothing", b"f/x"])
def test_no_path_leads_out_of_a_tree(path: bytes, tmp_path: Path) -> None:
    """No symlink, no climbing, no absolute name; the error is the kernel's, with step and path."""
    tree = unpacked(tmp_path, tars.symlink(b"s", b"/etc"), tars.file(b"f"), tars.directory(b"d/"))

    for look in (open_file, read_link, lambda fd, name: _native.tree_stat(fd, (name,), "recorded")):
        with pytest.raises(OSError, match=r"(open|stat|readlink): ") as caught:
            look(tree, path)
        assert caught.value.filename == path
    os.close(tree)


def test_sealing_keeps_what_the_image_says(tmp_path: Path) -> None:
    """A-T8: what a step has locked its own user out of can be read and deleted, and is packed as the step left it."""
    tree = unpacked(tmp_path, tars.directory(b"d/", mtime=1), tars.file(b"d/f", b"x", uid=5, mtime=1))
    os.chmod(tmp_path / "tree/diff/d/f", 0o111)
    os.chmod(tmp_path / "tree/diff/d", 0o2)

    _native.tree_seal(tree)
    os.close(tree)

    on_disk = [stat.S_IMODE(os.stat(tmp_path / "tree/diff" / name).st_mode) for name in ("d", "d/f")]
    packed = tars.describe(NATIVE.pack([str(tmp_path / "tree")], owners="recorded"))
    assert on_disk == [0o702, 0o511]
    assert [member[2:4] for member in packed] == [(0o2, 0), (0o111, 5)]


def test_a_host_label_is_not_in_a_layer(tmp_path: Path) -> None:
    """D-T6: SELinux, IMA and overlay xattrs on the disk itself, as far as this user may set them."""
    tree = NATIVE.unpack(tars.archive(tars.file(b"f", b"x")), tmp_path / "tree", owners="recorded")
    names = ["security.selinux", "security.ima", "trusted.overlay.opaque", "user.overlay.origin", "user.containers.x"]
    for name in names:
        try:
            os.setxattr(f"{tree}/diff/f", name, b"host")
        except OSError as error:
            assert error.errno in (errno.EPERM, errno.ENOTSUP, errno.EINVAL)

    assert b"host" not in NATIVE.pack([tree], owners="recorded")


@pytest.mark.parametrize("force_walk", [False, True])
def test_open_in_root(force_walk: bool, tmp_path: Path) -> None:
    """Symlinks mean the root given; `..` stops at it; a final symlink only where it may be followed."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_bytes(b"inside")
    (tmp_path / "abs").symlink_to("/etc/passwd")
    (tmp_path / "up").symlink_to("../../../../../../etc")
    root = os.open(tmp_path, os.O_RDONLY)

    for path in (b"abs", b"/abs", b"up/passwd", b"../etc/../etc/passwd", b"etc/passwd"):
        with os.fdopen(_native.open_in_root(root, path, os.O_RDONLY, force_walk), "rb") as file:
            assert file.read() == b"inside"
    for path, flags, error in (
        *((b"abs", os.O_NOFOLLOW, errno.ELOOP), (b"nothing", 0, errno.ENOENT), (b"x", os.O_CREAT, errno.EINVAL)),
    ):
        with pytest.raises(OSError, match="open in root") as caught:
            _native.open_in_root(root, path, flags, force_walk)
        assert caught.value.errno == error
    os.close(root)


def test_errors_leak_neither_descriptors_nor_threads(tmp_path: Path) -> None:
    """Every way out closes what it opened."""
    import threading

    from builder.errors import ArchiveError

    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(20):
        with pytest.raises(ArchiveError):
            NATIVE.unpack(tars.archive(tars.file(b"a/../../b")), tmp_path / "bad", owners="recorded")
        with pytest.raises(OSError, match="diff"):
            NATIVE.pack([str(tmp_path)], owners="recorded")

    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
