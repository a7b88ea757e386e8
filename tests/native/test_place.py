"""The primitive under COPY, ADD and WORKDIR, in C and in Python."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.layers.place import Entry, place
from builder.layers.tree import Owners, create_tree, open_tree
from tests.oracle.place import place as twin_place
from tests.support import tars
from tests.support.trees import EACH_OWNERS, NATIVE, OWNERS

Place = Callable[..., None]
BOTH_PLACES = pytest.mark.parametrize("putting", [place, twin_place], ids=["native", "twin"])


@pytest.fixture
def context(tmp_path: Path) -> Iterator[int]:
    """A directory with a file of each kind that a context may have."""
    root = tmp_path / "context"
    (root / "sub").mkdir(parents=True)
    (root / "sub/script").write_bytes(b"#!/bin/sh\n")
    (root / "sub/script").chmod(0o750)
    (root / "link").symlink_to("sub/script")
    (root / "evil").symlink_to("/etc")
    os.mkfifo(root / "fifo")
    with (root / "sparse").open("wb") as file:
        file.seek(20 << 20)
        file.write(b"end")
    for name in ("sub/script", "sub", "sparse"):
        os.utime(root / name, ns=(1_500_000_000, 1_500_000_000))
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def tree(tmp_path: Path) -> str:
    create_tree(str(tmp_path / "tree"))
    return str(tmp_path / "tree")


def members(tree: str, owners: Owners) -> list[tuple[object, ...]]:
    """(name, type, mode, uid, gid, mtime, device, target) of what a layer of the tree would hold."""
    return [member[:8] for member in tars.describe(NATIVE.pack([tree], owners=owners))]


@BOTH_PLACES
@EACH_OWNERS
def test_each_kind_from_a_context(putting: Place, owners: Owners, context: int, tree: str) -> None:
    """COPY --chown --chmod: what the entry says, and where it says -1 what the source has."""
    entries = [
        Entry("dir", b"app", 0o1777, 5, 6, 9 * 10**9),
        Entry("file", b"app/inline", 0o644, 0, 0, 0, extra=b"heredoc\n"),
        Entry("file", b"app/script", -1, 7, 8, None, context, b"sub/script"),
        Entry("symlink", b"app/link", -1, 7, 8, 10**9, context, b"link"),
        Entry("symlink", b"app/other", -1, 0, 0, 10**9, extra=b"/target"),
        Entry("hardlink", b"app/z-hard", extra=b"app/script"),
        Entry("hardlink", b"app/z-link", extra=b"app/link"),
        Entry("fifo", b"app/fifo", 0o600, 1, 1, 10**9),
        Entry("device", b"app/null", stat.S_IFCHR | 0o666, 0, 3, 10**9, extra=os.makedev(1, 3)),
    ]

    putting(entries, tree, owners=owners, source="context")

    assert members(tree, owners) == [
        ("app", b"5", 0o1777, 5, 6, 9, (0, 0), ""),
        ("app/fifo", b"6", 0o600, 1, 1, 1, (0, 0), ""),
        ("app/inline", b"0", 0o644, 0, 0, 0, (0, 0), ""),
        ("app/link", b"2", 0o777, 7, 8, 1, (0, 0), "sub/script"),
        ("app/null", b"3", 0o666, 0, 3, 1, (1, 3), ""),
        ("app/other", b"2", 0o777, 0, 0, 1, (0, 0), "/target"),
        ("app/script", b"0", 0o750, 7, 8, 1, (0, 0), ""),
        ("app/z-hard", b"1", 0o750, 7, 8, 1, (0, 0), "app/script"),
        ("app/z-link", b"1", 0o777, 7, 8, 1, (0, 0), "app/link"),
    ]


@BOTH_PLACES
@EACH_OWNERS
def test_from_a_tree_with_all_it_records(putting: Place, owners: Owners, tmp_path: Path, tree: str) -> None:
    """COPY --from: effective owners and modes of the source, capabilities and user xattrs included."""
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    tar = tars.archive(
        tars.directory(b"d/", mode=0o700, uid=3, gid=4, mtime=5),
        tars.header(b"d/null", kind=b"3", mode=0o620, uid=1, gid=2, device=(1, 3), mtime=4),
        tars.symlink(b"d/s", b"x", uid=9, gid=9, mtime=4),
        tars.pax({b"SCHILY.xattr.security.capability": capability, b"SCHILY.xattr.user.k": b"v"})
        + tars.file(b"ping", b"ping", mode=0o4500, uid=2, gid=2, mtime=6),
    )
    source = open_tree(NATIVE.unpack(tar, tmp_path / "source", owners=owners))
    entries = [
        Entry("copyup", b"d", src_fd=source, src=b"d"),
        Entry("device", b"d/null", -1, -1, -1, None, source, b"d/null", os.makedev(1, 3)),
        Entry("symlink", b"d/s", -1, -1, -1, None, source, b"d/s"),
        Entry("file", b"ping", -1, -1, -1, None, source, b"ping"),
    ]

    putting(entries, tree, owners=owners, source="tree")
    os.close(source)

    assert NATIVE.pack([tree], owners=owners) == tar


@BOTH_PLACES
def test_what_is_in_the_way(putting: Place, tree: str) -> None:
    """Non-directories are replaced, existing directories keep their content and get the new metadata."""
    tree_path = Path(tree, "diff")
    first = [
        Entry("dir", b"d", 0o700, 1, 1, 0),
        Entry("file", b"d/keep", 0o600, 0, 0, 0, extra=b"1"),
        Entry("symlink", b"s", -1, 5, 5, 0, extra=b"d/keep"),
        Entry("whiteout", b"w"),
        Entry("copyup", b"", src_fd=-1),
    ]
    second = [
        Entry("dir", b"d", 0o755, 2, 2, 10**9),
        Entry("file", b"s", 0o644, 0, 0, 10**9, extra=b"2"),
        Entry("dir", b"w", 0o755, 0, 0, 10**9),
    ]

    putting(first[:4], tree, owners="recorded", source="context")
    putting(second, tree, owners="recorded", source="context")

    assert members(tree, "recorded") == [
        ("d", b"5", 0o755, 2, 2, 1, (0, 0), ""),
        ("d/keep", b"0", 0o600, 0, 0, 0, (0, 0), ""),
        ("s", b"0", 0o644, 0, 0, 1, (0, 0), ""),
        ("w", b"5", 0o755, 0, 0, 1, (0, 0), ""),
    ]
    assert (tree_path / "d/keep").read_bytes() == b"1"
    assert os.getxattr(tree_path / "w", "user.overlay.opaque") == b"y"


@BOTH_PLACES
def test_a_directory_that_is_there_is_not_copied_up_again(putting: Place, tmp_path: Path, tree: str) -> None:
    """What an earlier batch made of it stays."""
    lower = open_tree(
        NATIVE.unpack(tars.archive(tars.directory(b"d/", mode=0o711, mtime=1)), tmp_path / "lower", owners="recorded")
    )
    up = Entry("copyup", b"d", src_fd=lower, src=b"d")

    putting([up, Entry("dir", b"d", 0o700, 0, 0, 2 * 10**9)], tree, owners="recorded", source="context")
    putting([up], tree, owners="recorded", source="context")
    os.close(lower)

    assert members(tree, "recorded") == [("d", b"5", 0o700, 0, 0, 2, (0, 0), "")]


def test_holes_stay_holes(context: int, tree: str) -> None:
    """B1, F4: where blocks cannot be shared only data is copied."""
    place([Entry("file", b"s", 0o644, 0, 0, None, context, b"sparse")], tree, owners="recorded", source="context")

    st = os.stat(f"{tree}/diff/s")
    assert st.st_size == (20 << 20) + 3
    assert st.st_blocks * 512 < 1 << 20
    assert Path(tree, "diff/s").read_bytes()[-5:] == b"\0\0end"


REFUSED = {
    "symlink in the source": Entry("file", b"x", 0o644, 0, 0, 0, 0, b"evil/passwd"),
    "symlink as the source": Entry("file", b"x", 0o644, 0, 0, 0, 0, b"link"),
    "climbing source": Entry("file", b"x", 0o644, 0, 0, 0, 0, b"../tree/diff/d"),
    "FIFO as a file": Entry("file", b"x", 0o644, 0, 0, 0, 0, b"fifo"),
    "missing source": Entry("file", b"x", 0o644, 0, 0, 0, 0, b"nothing"),
    "symlink in the destination": Entry("file", b"out/x", 0o644, 0, 0, 0, extra=b""),
    "climbing destination": Entry("file", b"../x", 0o644, 0, 0, 0, extra=b""),
    "missing parent": Entry("file", b"no/x", 0o644, 0, 0, 0, extra=b""),
    "file over a directory": Entry("file", b"d", 0o644, 0, 0, 0, extra=b""),
    "root as a file": Entry("file", b"", 0o644, 0, 0, 0, extra=b""),
    "hard link to nothing": Entry("hardlink", b"x", extra=b"nothing"),
    "hard link through a symlink": Entry("hardlink", b"x", extra=b"out/passwd"),
    "whiteout as a device": Entry("device", b"x", stat.S_IFCHR, 0, 0, 0, extra=0),
    "unknown kind": Entry("socket", b"x", 0, 0, 0, 0),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_is_followed(case: str, context: int, tree: str) -> None:
    """K7: the caller has resolved the paths; what still leads elsewhere is an error that names the path."""
    Path(tree, "diff/out").symlink_to("/etc")
    Path(tree, "diff/d").mkdir()
    entry = REFUSED[case]

    with pytest.raises((OSError, ValueError)) as caught:
        place([entry._replace(src_fd=context) if entry.src else entry], tree, owners="recorded", source="context")

    named = getattr(caught.value, "filename", None) or caught.value.args[1]
    assert named in (entry.path, entry.src)
    assert sorted(os.listdir(f"{tree}/diff")) in (["d", "out"], ["d", "out", "x"])


WRONG = [
    ("file", b"x", 0o644, 0, 0, 0, -1, b"", None),
    ("dir", b"x", -1, 0, 0, 0, -1, b"", None),
    ("symlink", b"x", -1, 0, 0, 0, -1, b"", None),
    ("copyup", b"x", 0, 0, 0, 0, -1, b"", None),
    ("dir", b"x\0y", 0, 0, 0, 0, -1, b"", None),
    ("dir", b"x"),
    ("dir", "text", 0, 0, 0, 0, -1, b"", None),
]


@pytest.mark.parametrize("entry", WRONG)
def test_entries_that_are_none_are_refused_before_anything_is_made(entry: tuple[object, ...], tree: str) -> None:
    """A batch is read in whole first."""
    good = Entry("dir", b"good", 0o755, 0, 0, 0)

    with pytest.raises((TypeError, ValueError)):
        place([good, entry], tree, owners="recorded", source="context")

    assert os.listdir(f"{tree}/diff") == []


def test_twenty_thousand_files_in_one_call(context: int, tree: str) -> None:
    """One batch, one release of the GIL; a minute would be a hang."""
    entries = [Entry("dir", b"%02d" % i, 0o755, 0, 0, 0) for i in range(20)]
    entries += [
        Entry("file", b"%02d/%04d" % (i % 20, i), 0o644, 0, 0, 0, context, b"sub/script") for i in range(20_000)
    ]

    place(entries, tree, owners=OWNERS[-1], source="context")

    assert sum(len(names) for _, _, names in os.walk(f"{tree}/diff")) == 20_000


SUBTREE = tars.archive(
    tars.directory(b"d/", mode=0o700, uid=3, gid=4, mtime=5),
    tars.file(b"d/a", b"a", mode=0o4750, uid=2, gid=2, mtime=6),
    tars.hardlink(b"d/b", b"d/a"),
    tars.header(b"d/null", kind=b"3", mode=0o620, uid=1, gid=2, device=(1, 3), mtime=4),
    tars.header(b"d/pipe", kind=b"6", mode=0o601, uid=1, gid=2, mtime=4),
    tars.symlink(b"d/s", b"/etc/passwd", uid=9, gid=9, mtime=4),
    tars.directory(b"d/sub/", mode=0o1777, uid=1, gid=0, mtime=7),
    tars.hardlink(b"d/sub/c", b"d/a"),
)
LENT = pytest.mark.parametrize("lent", [b"\0", b"\1"], ids=["copied", "linked"])


def subtree(mode: int = -1, uid: int = -1) -> list[tuple[object, ...]]:
    return [Entry("dir", b"d", 0o700, 3, 4, 5 * 10**9), Entry("subtree", b"d", mode, uid, uid, src=b"d")]


@LENT
@EACH_OWNERS
def test_a_subtree_is_the_tree_again(lent: bytes, owners: Owners, tmp_path: Path, tree: str) -> None:
    """F-T3 (COPY --from): kinds, owners, modes, times and links among its own names; no symlink is followed."""
    source_tree = NATIVE.unpack(SUBTREE, tmp_path / "source", owners=owners)
    packed = NATIVE.pack([source_tree], owners=owners)
    source = open_tree(source_tree)

    place(subtree(), tree, owners=owners, source="tree", trees=[source], lent=lent)
    os.close(source)

    assert NATIVE.pack([tree], owners=owners) == packed
    assert os.stat(f"{tree}/diff/d/a").st_nlink == (6 if lent == b"\1" else 3)


@EACH_OWNERS
def test_what_shall_be_otherwise_is_not_linked(owners: Owners, tmp_path: Path, tree: str) -> None:
    """--chown and --chmod never reach the file that another tree has."""
    source_tree = NATIVE.unpack(SUBTREE, tmp_path / "source", owners=owners)
    packed = NATIVE.pack([source_tree], owners=owners)
    source = open_tree(source_tree)

    place(subtree(0o755, 7), tree, owners=owners, source="tree", trees=[source], lent=b"\1")
    os.close(source)

    assert NATIVE.pack([source_tree], owners=owners) == packed
    assert [member[:5] for member in members(tree, owners)][1:4] == [
        ("d/a", b"0", 0o755, 7, 7),
        ("d/b", b"1", 0o755, 7, 7),
        ("d/null", b"3", 0o755, 7, 7),
    ]
    assert os.stat(f"{tree}/diff/d/a").st_ino != os.stat(f"{source_tree}/diff/d/a").st_ino


def test_a_file_of_many_names_is_copied(tmp_path: Path, tree: str) -> None:
    """Of a linked one half of them may be too many: a file has 65,000 at most on ext4."""
    names = [b"d/%d" % number for number in range(1001)]
    links = [tars.hardlink(name, names[0]) for name in names[1:]]
    source_tree = NATIVE.unpack(tars.archive(tars.file(names[0], b"a"), *links), tmp_path / "source", owners="recorded")
    source = open_tree(source_tree)

    place(subtree(), tree, owners="recorded", source="tree", trees=[source], lent=b"\1")
    os.close(source)

    assert [os.stat(f"{one}/diff/d/7").st_nlink for one in (source_tree, tree)] == [1001, 1001]


def test_a_subtree_is_what_the_view_shows(tmp_path: Path, tree: str) -> None:
    """Whiteouts and opaque directories of upper trees hide what is below; directories of one name are one."""
    lower = tars.archive(
        *(tars.file(name, b"low", mtime=1) for name in (b"d/gone", b"d/o/gone", b"d/m/low", b"d/over"))
    )
    upper = tars.archive(
        *(tars.file(name, b"", mtime=1) for name in (b"d/.wh.gone", b"d/o/.wh..wh..opq")),
        *(tars.file(name, b"up", mtime=1) for name in (b"d/m/up", b"d/o/up", b"d/over")),
    )
    trees = [NATIVE.unpack(tar, tmp_path / name, owners="recorded") for name, tar in (("u", upper), ("l", lower))]
    opened = [open_tree(one) for one in trees]

    place(subtree(), tree, owners="recorded", source="tree", trees=opened)
    for fd in opened:
        os.close(fd)

    found = {str(path.relative_to(f"{tree}/diff/d")): path for path in Path(tree, "diff/d").rglob("*")}
    assert sorted(found) == ["m", "m/low", "m/up", "o", "o/up", "over"]
    assert found["over"].read_bytes() == b"up"


def test_an_acl_is_not_shared(tmp_path: Path, tree: str) -> None:
    """A copy has only the xattrs that layers carry: a file with others is copied."""
    source_tree = NATIVE.unpack(SUBTREE, tmp_path / "source", owners="recorded")
    acl = bytes.fromhex("02000000 01000700ffffffff 02000500e8030000 04000500ffffffff 10000500ffffffff 20000000ffffffff")
    try:
        os.setxattr(f"{source_tree}/diff/d/a", "system.posix_acl_access", acl)
    except OSError:
        pytest.skip("no ACLs on this file system")
    source = open_tree(source_tree)

    place(subtree(), tree, owners="recorded", source="tree", trees=[source], lent=b"\1")
    os.close(source)

    assert os.stat(f"{tree}/diff/d/a").st_ino != os.stat(f"{source_tree}/diff/d/a").st_ino
    assert "system.posix_acl_access" not in os.listxattr(f"{tree}/diff/d/a")
