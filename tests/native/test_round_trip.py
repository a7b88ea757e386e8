"""tar → tree → tar: everything that a layer can say survives, in both ways of owning files, in C and in Python."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from builder.errors import ArchiveError
from builder.layers.pack import pack_diff
from builder.layers.tree import Owners, read_journal
from tests.support import tars
from tests.support.trees import BOTH, EACH_OWNERS, NATIVE, Layers

# VFS_CAP_REVISION_2 with cap_net_bind_service, permitted and effective.
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def everything() -> bytes:
    """In the order that we write, so that what comes out must be what went in."""
    deep = b"d" * 90 + b"/" + b"e" * 90 + b"/" + b"f" * 90
    parts = [
        tars.directory(b"bin/", mtime=5, mode=0o755),
        tars.file(b"bin/su", b"setuid", mode=0o4755, mtime=7),
        tars.file(b"bin/wall", b"setgid", mode=0o2755, gid=5, mtime=7),
        tars.directory(b"d" * 90 + b"/", mtime=1),
        tars.directory(b"e" * 90 + b"/", prefix=b"d" * 90, mtime=1),
        tars.pax({b"path": deep + b"/"}) + tars.directory((deep + b"/")[:100], mtime=1),
        tars.pax({b"path": deep + b"/file"}) + tars.file((deep + b"/file")[:100], b"long", mtime=2),
        tars.directory(b"dev/", mtime=1),
        tars.header(b"dev/null", kind=b"3", mode=0o666, device=(1, 3), mtime=9),
        tars.header(b"dev/sda", kind=b"4", mode=0o660, gid=6, device=(8, 0), mtime=9),
        tars.directory(b"etc/", mtime=3),
        tars.file(b"etc/gshadow", b"x", mode=0, gid=42, mtime=4),
        tars.header(b"fifo", kind=b"6", mode=0o622, uid=9, gid=9, mtime=8),
        tars.directory(b"home/", mtime=3),
        tars.directory(b"home/user/", mode=0o500, uid=1000, gid=1000, mtime=3),
        tars.file(b"home/user/a", b"mine", mode=0o400, uid=1000, gid=1000, mtime=3),
        tars.symlink(b"home/user/l", b"a", uid=1000, gid=1000, mtime=6),
        tars.file(b"huge-ids", b"", uid=0o7777777, gid=0o7777777, mtime=1),
        tars.file(b"link-1", b"shared", mtime=11),
        tars.hardlink(b"link-2", b"link-1", mtime=11),
        tars.pax({b"mtime": b"-5"}) + tars.file(b"old", b"before 1970", mtime=0),
        tars.directory(b"tmp/", mode=0o1777, mtime=3),
        tars.pax({b"linkpath": b"t" * 150}) + tars.symlink(b"to-long", b"t" * 100, mtime=1),
        tars.pax({b"SCHILY.xattr.security.capability": CAPABILITY, b"SCHILY.xattr.user.comment": b"\xff\0="})
        + tars.file(b"xattrs", b"x", mtime=3),
        tars.file(b"\xc3\x28 not utf-8 \xff", b"name", mtime=3),
    ]
    return tars.archive(*parts)


@BOTH
@EACH_OWNERS
def test_everything_a_layer_says_survives_to_the_byte(layers: Layers, owners: Owners, tmp_path: Path) -> None:
    """K7, F3, F-T3 (links), F-T4 (capabilities): modes, owners, devices, links, xattrs, times, names."""
    before = everything()

    tree = layers.unpack(before, tmp_path / "tree", owners=owners)

    assert tars.describe(layers.pack([tree], owners=owners)) == tars.describe(before)
    assert layers.pack([tree], owners=owners) == before


@BOTH
@EACH_OWNERS
def test_the_twins_agree_on_each_others_trees(layers: Layers, owners: Owners, tmp_path: Path) -> None:
    """A tree that one has unpacked packs to the same bytes with the other, records and journal included."""
    tree = layers.unpack(everything(), tmp_path / "tree", owners=owners)
    other = NATIVE.unpack(everything(), tmp_path / "other", owners=owners)

    assert layers.pack([other], owners=owners) == NATIVE.pack([tree], owners=owners) == everything()
    assert read_journal(tree) == read_journal(other)


@BOTH
def test_a_recorded_tree_stays_its_users_own(layers: Layers, tmp_path: Path) -> None:
    """A9, A-T8: whatever modes the image has, the user can read and delete what is on disk."""
    tree = layers.unpack(everything(), tmp_path / "tree", owners="recorded")

    for path, directories, files in os.walk(tree):
        for name in (*directories, *files):
            st = os.lstat(os.path.join(path, name))
            needed = 0o700 if stat.S_ISDIR(st.st_mode) else 0o400
            assert stat.S_ISLNK(st.st_mode) or st.st_mode & needed == needed or stat.S_ISFIFO(st.st_mode), name
            assert st.st_uid == os.geteuid()
            assert not stat.S_ISBLK(st.st_mode) and not stat.S_ISCHR(st.st_mode)


@BOTH
def test_what_needs_a_journal_is_in_it_and_no_more(layers: Layers, tmp_path: Path) -> None:
    """Symlinks and FIFOs of foreign owners, by the path in the tree."""
    tree = layers.unpack(everything(), tmp_path / "tree", owners="recorded")

    records = read_journal(tree)

    assert sorted(records) == [b"fifo", b"home/user/l"]
    assert records[b"home/user/l"][:3] == (stat.S_IFLNK | 0o777, 1000, 1000)


@BOTH
@EACH_OWNERS
def test_links_to_symlinks_and_fifos_keep_their_owners(layers: Layers, owners: Owners, tmp_path: Path) -> None:
    """Each name of an inode has a record of its own."""
    before = tars.archive(
        tars.header(b"fifo", kind=b"6", mode=0o640, uid=3, gid=4),
        tars.hardlink(b"fifo-2", b"fifo", mode=0o640, uid=3, gid=4),
        tars.symlink(b"sym", b"nowhere", uid=7, gid=8),
        tars.hardlink(b"sym-2", b"sym", mode=0o777, uid=7, gid=8),
    )

    tree = layers.unpack(before, tmp_path / "tree", owners=owners)

    assert layers.pack([tree], owners=owners) == before


@BOTH
def test_sub_seconds_reach_the_disk_and_whole_seconds_the_tar(layers: Layers, tmp_path: Path) -> None:
    """-1.5 is half a second after -2, and is written down as -2."""
    tar = tars.archive(
        tars.pax({b"mtime": b"1.123456789"}) + tars.file(b"a"),
        tars.pax({b"mtime": b"-1.5"}) + tars.file(b"b"),
        tars.file(b"c", mtime=tars.base_256(-7, 12)),
    )

    tree = layers.unpack(tar, tmp_path / "tree", owners="recorded")

    on_disk = [os.stat(f"{tree}/diff/{name}").st_mtime_ns for name in "abc"]
    assert on_disk == [1_123_456_789, -1_500_000_000, -7_000_000_000]
    assert [member[5] for member in tars.describe(layers.pack([tree], owners="recorded"))] == [1, -2, -7]


@BOTH
def test_no_mtime_is_later_than_the_clamp(layers: Layers, tmp_path: Path) -> None:
    """D-T1: earlier ones stay."""
    tree = layers.unpack(
        tars.archive(tars.file(b"a", mtime=10), tars.file(b"b", mtime=30)), tmp_path / "tree", owners="recorded"
    )

    assert [member[5] for member in tars.describe(layers.pack([tree], owners="recorded", clamp=20))] == [10, 20]


@BOTH
def test_only_allowed_xattrs_cross(layers: Layers, tmp_path: Path) -> None:
    """D5, D-T6: what names the host or the builder neither enters a tree nor leaves one."""
    names = [
        *(b"security.selinux", b"security.ima", b"trusted.overlay.opaque", b"user.overlay.opaque", b"user.rbuild.stat"),
        *(b"user.rootlesscontainers", b"user.containers.override_stat", b"system.posix_acl_access", b"user.fine"),
    ]
    records = {b"SCHILY.xattr." + name: b"y" for name in names}

    tree = layers.unpack(tars.archive(tars.pax(records) + tars.file(b"a")), tmp_path / "tree", owners="recorded")

    assert [name for name in os.listxattr(f"{tree}/diff/a") if name.startswith("user.")] == ["user.fine"]
    os.setxattr(f"{tree}/diff/a", "user.containers.override_stat", b"0:0:0755")
    assert tars.describe(layers.pack([tree], owners="recorded"))[0][-1] == [("SCHILY.xattr.user.fine", "y")]


def test_a_capability_of_a_namespace_is_written_portably(tmp_path: Path) -> None:
    """F3, F-T4: version 3 names the host's root id, version 2 does not."""
    version_3 = CAPABILITY[:3] + b"\x03" + CAPABILITY[4:] + (1500).to_bytes(4, "little")
    tree = NATIVE.unpack(tars.archive(tars.file(b"a")), tmp_path / "tree", owners="recorded")
    os.setxattr(f"{tree}/diff/a", "user.rbuild.capability", version_3)

    packed = NATIVE.pack([tree], owners="recorded")

    assert version_3 not in packed
    assert b"SCHILY.xattr.security.capability=" + CAPABILITY in packed


class Enough(Exception):
    pass


class First:
    """A file that takes the first bytes of what is written, then no more."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data = data
        raise Enough


def test_a_file_larger_than_8_gib_says_so(tmp_path: Path) -> None:
    """The size is beyond USTAR's field. A reader that stops ends the packing, with its own error."""
    tree = NATIVE.unpack(tars.archive(), tmp_path / "tree", owners="recorded")
    with open(f"{tree}/diff/sparse", "wb") as file:
        file.truncate(9 << 30)
    out = First()

    with pytest.raises(Enough):
        pack_diff(tree, [], out, owners="recorded", clamp=1, compression="none")

    assert tars.pax_record(b"size", b"%d" % (9 << 30)) in out.data


@pytest.mark.parametrize(
    "part", [tars.header(b"f", size=9 << 30), tars.pax({b"size": b"9663676416"}) + tars.header(b"f")]
)
def test_a_size_beyond_8_gib_is_read(part: bytes, tmp_path: Path) -> None:
    """GNU's base-256 and PAX's decimal; the archive is cut off, and the error names the file."""
    with pytest.raises(ArchiveError, match=r"'f': .*ends in the middle"):
        NATIVE.unpack(part + b"data", tmp_path / "tree", owners="recorded")


@EACH_OWNERS
def test_holes_take_no_room(owners: Owners, tmp_path: Path) -> None:
    """F4: what a layer stores as zeros is a hole on disk again."""
    tree = NATIVE.unpack(tars.archive(), tmp_path / "tree", owners=owners)
    size = 100 << 20
    with open(f"{tree}/diff/sparse", "wb") as file:
        for position in (5 << 20, 50 << 20, size - 3):
            file.seek(position)
            file.write(b"end")
    packed = NATIVE.pack([tree], owners=owners)

    again = NATIVE.unpack(packed, tmp_path / "again", owners=owners)

    assert os.stat(f"{again}/diff/sparse").st_size == size
    assert os.stat(f"{again}/diff/sparse").st_blocks * 512 < 1 << 20
    assert NATIVE.pack([again], owners=owners) == packed


def test_a_file_that_is_nearly_all_hole_is_refused_by_name(tmp_path: Path) -> None:
    """F-T5: lastlog of a user with a high uid would be hundreds of gigabytes of zeros; the error says why."""
    tree = NATIVE.unpack(tars.archive(tars.directory(b"var/")), tmp_path / "tree", owners="recorded")
    with open(f"{tree}/diff/var/lastlog", "wb") as file:
        file.truncate(550 << 30)

    with pytest.raises(ArchiveError, match=r"var/lastlog.*useradd"):
        NATIVE.pack([tree], owners="recorded")


@BOTH
def test_sockets_are_left_out(layers: Layers, tmp_path: Path) -> None:
    """No tar can say them."""
    import socket

    tree = layers.unpack(tars.archive(tars.file(b"a")), tmp_path / "tree", owners="recorded")
    here = os.open(f"{tree}/diff", os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/socket")
    os.close(here)

    assert tars.names(layers.pack([tree], owners="recorded")) == ["a"]


def test_a_step_that_chmods_wins_over_the_record(tmp_path: Path) -> None:
    """The record knows the bits that were on disk when it was made; owners stay."""
    tree = NATIVE.unpack(tars.archive(tars.file(b"a", mode=0o400, uid=5, gid=6)), tmp_path / "tree", owners="recorded")
    os.chmod(f"{tree}/diff/a", 0o4755)

    assert tars.describe(NATIVE.pack([tree], owners="recorded"))[0][2:5] == (0o4755, 5, 6)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_real_owners_take_no_record_from_a_steps_own_user(tmp_path: Path) -> None:
    """A step's user may set user xattrs on his files; they must not make him root in the layer."""
    tree = NATIVE.unpack(tars.archive(tars.file(b"a", uid=1000, gid=1000)), tmp_path / "tree", owners="real")
    os.setxattr(f"{tree}/diff/a", "user.rbuild.stat", b"104755 0 0 0:0 100644")

    assert tars.describe(NATIVE.pack([tree], owners="real"))[0][2:5] == (0o644, 1000, 1000)
