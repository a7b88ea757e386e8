"""What a tree changes against the trees below it, as a layer."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.errors import ArchiveError
from builder.layers.compress import Workers
from builder.layers.pack import pack_diff
from builder.layers.tree import OPAQUE_XATTR, Owners, create_tree
from tests.support import tars
from tests.support.trees import BOTH, EACH_OWNERS, NATIVE, Layers

BASE = (
    tars.directory(b"dir/", mtime=1),
    tars.file(b"dir/a", b"a", mtime=1),
    tars.file(b"dir/b", b"b", mtime=1),
    tars.directory(b"dir/sub/", mtime=1),
    tars.file(b"dir/sub/c", b"c", mtime=1),
    tars.file(b"top", b"top", mtime=1),
)


def diff(layers: Layers, tmp_path: Path, upper: bytes, *lowers: bytes, owners: Owners = "recorded") -> list[str]:
    """Names of the layer that the archive `upper` makes over the archives `lowers`, topmost first."""
    trees = [layers.unpack(tar, tmp_path / f"lower-{i}", owners=owners) for i, tar in enumerate(lowers)]
    top = layers.unpack(upper, tmp_path / "upper", owners=owners)
    return tars.names(layers.pack([top], trees, owners=owners))


@BOTH
@EACH_OWNERS
def test_a_copy_of_what_is_below_is_no_change(layers: Layers, owners: Owners, tmp_path: Path) -> None:
    """D-T3: same in all that a tar says, nothing in the layer."""
    assert diff(layers, tmp_path, tars.archive(*BASE), tars.archive(*BASE), owners=owners) == []


def test_no_change_is_the_empty_layer_of_everybody(tmp_path: Path) -> None:
    """1024 zero bytes, whose digest any registry knows."""
    tree = NATIVE.unpack(tars.archive(), tmp_path / "tree", owners="recorded")

    packed = pack_diff(tree, [], io.BytesIO(), owners="recorded", clamp=0)

    assert packed.diff_id == "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    assert (packed.entries, packed.diff_size) == (0, 1024)


CHANGES = {
    "content": (tars.file(b"dir/a", b"A", mtime=1), ["dir", "dir/a"]),
    "mode": (tars.file(b"dir/a", b"a", mode=0o600, mtime=1), ["dir", "dir/a"]),
    "owner": (tars.file(b"dir/a", b"a", uid=1, mtime=1), ["dir", "dir/a"]),
    "time": (tars.file(b"dir/a", b"a", mtime=2), ["dir", "dir/a"]),
    "xattr": (tars.pax({b"SCHILY.xattr.user.x": b""}) + tars.file(b"dir/a", b"a", mtime=1), ["dir", "dir/a"]),
    "kind": (tars.symlink(b"dir/a", b"b", mtime=1), ["dir", "dir/a"]),
    "new": (tars.file(b"dir/sub/new", b"", mtime=1), ["dir", "dir/sub", "dir/sub/new"]),
    "directory": (tars.directory(b"dir/sub/", mode=0o700, mtime=1), ["dir", "dir/sub"]),
    "nothing": (tars.directory(b"dir/sub/", mtime=1), []),
}


@BOTH
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_brings_its_parents_and_nothing_else(layers: Layers, change: str, tmp_path: Path) -> None:
    """B-T1, D2: parents are written because something below them is, never for themselves."""
    part, expected = CHANGES[change]
    parents = (tars.directory(b"dir/", mtime=1), tars.directory(b"dir/sub/", mtime=1))

    assert diff(layers, tmp_path, tars.archive(*parents, part), tars.archive(*BASE)) == expected


@BOTH
def test_whiteouts_only_for_what_is_there_and_first_in_their_directory(layers: Layers, tmp_path: Path) -> None:
    """F1: explicit, before the additions, none for names that the lower view does not have."""
    upper = tars.archive(
        tars.directory(b"dir/", mtime=2),
        tars.file(b"dir/.wh.never-was"),
        tars.file(b"dir/.wh.b"),
        tars.file(b"dir/.wh.sub"),
        tars.file(b"dir/aa", mtime=1),
        tars.file(b".wh.top"),
    )

    assert diff(layers, tmp_path, upper, tars.archive(*BASE)) == [
        *(".wh.top", "dir", "dir/.wh.b", "dir/.wh.sub", "dir/aa"),
    ]


@BOTH
def test_opaque_directories_are_spelled_out_all_the_way_down(layers: Layers, tmp_path: Path) -> None:
    """F1, image-spec: a reader that merges directories must not bring back what an opaque one hid."""
    upper = tars.archive(
        tars.directory(b"dir/", mtime=2),
        tars.file(b"dir/.wh..wh..opq"),
        tars.file(b"dir/b", b"new", mtime=2),
        tars.directory(b"dir/sub/", mtime=2),
        tars.file(b"dir/sub/d", mtime=2),
    )

    assert diff(layers, tmp_path, upper, tars.archive(*BASE)) == [
        *("dir", "dir/.wh.a", "dir/b", "dir/sub", "dir/sub/.wh.c", "dir/sub/d"),
    ]


@BOTH
def test_lower_whiteouts_and_opaque_directories_count(layers: Layers, tmp_path: Path) -> None:
    """What an upper tree deleted is not there to be deleted again, nor to be the same as."""
    middle = tars.archive(tars.directory(b"dir/", mtime=1), tars.file(b"dir/.wh.a"), tars.file(b"dir/sub/.wh..wh..opq"))
    upper = tars.archive(
        tars.directory(b"dir/", mtime=1),
        tars.file(b"dir/a", b"a", mtime=1),
        tars.file(b"dir/.wh.b"),
        tars.file(b"dir/sub/.wh.c"),
    )

    assert diff(layers, tmp_path, upper, middle, tars.archive(*BASE)) == ["dir", "dir/.wh.b", "dir/a"]


@BOTH
def test_kinds_may_swap(layers: Layers, tmp_path: Path) -> None:
    """F-T1: file to directory, directory to file and to symlink, without whiteouts."""
    upper = tars.archive(
        tars.directory(b"dir/", mtime=2),
        tars.directory(b"dir/a/", mtime=1),
        tars.file(b"dir/a/x", mtime=1),
        tars.symlink(b"dir/sub", b"a", mtime=1),
        tars.file(b"top", b"top", mtime=1),
    )

    assert diff(layers, tmp_path, upper, tars.archive(*BASE)) == ["dir", "dir/a", "dir/a/x", "dir/sub"]


@BOTH
def test_hard_links_stay_within_their_layer(layers: Layers, tmp_path: Path) -> None:
    """F2, F-T3: the first name has the data; a linked file is whole even where one name is as below."""
    upper = tars.archive(
        tars.directory(b"dir/", mtime=2), tars.file(b"dir/a", b"a", mtime=1), tars.hardlink(b"dir/z", b"dir/a")
    )
    lower = layers.unpack(tars.archive(*BASE), tmp_path / "lower", owners="recorded")
    tree = layers.unpack(upper, tmp_path / "upper", owners="recorded")

    members = tars.describe(layers.pack([tree], [lower], owners="recorded"))

    assert [(member[0], member[1], member[7]) for member in members[1:]] == [
        ("dir/a", b"0", ""),
        ("dir/z", b"1", "dir/a"),
    ]


@BOTH
def test_equal_inode_numbers_of_two_file_systems_are_two_files(layers: Layers, tmp_path: Path) -> None:
    """F-T3, kaniko-oss#978: a link is (device, inode), shown here by two trees of which each has links."""
    one = layers.unpack(
        tars.archive(tars.file(b"a", b"1"), tars.hardlink(b"b", b"a")), tmp_path / "1", owners="recorded"
    )
    two = layers.unpack(
        tars.archive(tars.file(b"c", b"2"), tars.hardlink(b"d", b"c")), tmp_path / "2", owners="recorded"
    )

    members = tars.describe(layers.pack([one, two], owners="recorded", layer=False))

    assert [(member[0], member[7]) for member in members] == [("a", ""), ("b", "a"), ("c", ""), ("d", "c")]


@BOTH
def test_one_inode_in_two_trees_of_a_view_is_two_files(layers: Layers, tmp_path: Path) -> None:
    """Trees of a store share inodes to save copying; that is no hard link of the image's."""
    names = (tars.file(b"a", b"1"), tars.hardlink(b"b", b"a"))
    one = layers.unpack(tars.archive(*names), tmp_path / "1", owners="recorded")
    two = layers.unpack(tars.archive(), tmp_path / "2", owners="recorded")
    for name in ("c", "d"):
        os.link(f"{one}/diff/a", f"{two}/diff/{name}")

    members = tars.describe(layers.pack([one, two], owners="recorded", layer=False))

    assert [(member[0], member[7]) for member in members] == [("a", ""), ("b", "a"), ("c", ""), ("d", "c")]


@BOTH
@pytest.mark.parametrize("made", [os.link, os.symlink], ids=["file", "symlink"])
def test_a_link_out_of_the_tree_changes_nothing(
    layers: Layers, made: Callable[[str, str], None], tmp_path: Path
) -> None:
    """D-T3: the same tree gives the same layer, whether the store holds its files once or twice."""
    upper = layers.unpack(tars.archive(*BASE), tmp_path / "upper", owners="recorded")
    lower = layers.unpack(tars.archive(*BASE), tmp_path / "lower", owners="recorded")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for number, name in enumerate(("dir/a", "dir/sub/c", "top")):
        if made is os.symlink:
            for tree in (upper, lower):
                os.unlink(f"{tree}/diff/{name}")
                os.symlink("target", f"{tree}/diff/{name}")
                os.utime(f"{tree}/diff/{name}", (1, 1), follow_symlinks=False)
                os.utime(f"{tree}/diff/dir", (1, 1))
        os.link(f"{upper}/diff/{name}", elsewhere / str(number), follow_symlinks=False)

    assert tars.names(layers.pack([upper], [lower], owners="recorded", clamp=1)) == []


@BOTH
@EACH_OWNERS
def test_a_view_is_flat(layers: Layers, owners: Owners, tmp_path: Path) -> None:
    """What the topmost tree shows, without whiteouts, every directory written."""
    upper = layers.unpack(
        tars.archive(tars.directory(b"dir/", mtime=9), tars.file(b"dir/.wh.a"), tars.file(b"dir/sub/.wh..wh..opq")),
        tmp_path / "upper",
        owners=owners,
    )
    lower = layers.unpack(tars.archive(*BASE), tmp_path / "lower", owners=owners)

    members = tars.describe(layers.pack([upper, lower], owners=owners, layer=False))

    assert [(member[0], member[5]) for member in members] == [("dir", 9), ("dir/b", 1), ("dir/sub", 0), ("top", 1)]


def test_a_file_named_like_a_whiteout_is_an_error(tmp_path: Path) -> None:
    """F1: written down it would delete something."""
    tree = NATIVE.unpack(tars.archive(tars.directory(b"d/")), tmp_path / "tree", owners="recorded")
    Path(tree, "diff/d/.wh.x").touch()

    with pytest.raises(ArchiveError, match=r"d/\.wh\.x"):
        NATIVE.pack([tree], owners="recorded")


@pytest.mark.parametrize("mark", ["user.overlay.redirect", "user.overlay.metacopy"])
def test_overlay_features_that_would_lose_content_are_refused(mark: str, tmp_path: Path) -> None:
    """We mount without them; a tree that has them comes from somewhere else."""
    tree = NATIVE.unpack(tars.archive(tars.directory(b"d/")), tmp_path / "tree", owners="recorded")
    os.setxattr(f"{tree}/diff/d", mark, b"/elsewhere")

    with pytest.raises(ArchiveError, match="'d'"):
        NATIVE.pack([tree], owners="recorded")


def test_overlays_own_xattrs_never_reach_a_layer(tmp_path: Path) -> None:
    """D-T6: impure, origin, uuid and the opaque mark itself."""
    tree = NATIVE.unpack(tars.archive(tars.directory(b"d/")), tmp_path / "tree", owners="recorded")
    for name in ("user.overlay.impure", "user.overlay.origin", OPAQUE_XATTR):
        os.setxattr(f"{tree}/diff/d", name, b"y")

    assert b"overlay" not in NATIVE.pack([tree], owners="recorded")


def nest(tree: str, name: str, depth: int) -> None:
    here = os.open(f"{tree}/diff", os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


@pytest.mark.parametrize(("name", "depth"), [("deep", 500), ("n" * 250, 16)])
def test_directories_may_be_deep(name: str, depth: int, tmp_path: Path) -> None:
    """K14: a step may nest as it likes; neither the stack nor the open-file limit ends the build, and what is
    packed can be unpacked."""
    tree = NATIVE.unpack(tars.archive(), tmp_path / "tree", owners="recorded")
    nest(tree, name, depth)

    packed = NATIVE.pack([tree], owners="recorded", clamp=0)
    again = NATIVE.unpack(packed, tmp_path / "again", owners="recorded")
    innermost_only = tars.archive(tars.pax({b"path": "/".join([name] * depth).encode()}) + tars.file(b"f"))
    implied = NATIVE.unpack(innermost_only, tmp_path / "implied", owners="recorded")

    assert len(tars.names(packed)) == depth
    assert NATIVE.pack([again], owners="recorded") == packed
    assert len(tars.names(NATIVE.pack([implied], owners="recorded"))) == depth
    for room in (tree, again, implied):
        _remove_deep(f"{room}/diff")


@pytest.mark.parametrize(
    ("name", "depth", "error"),
    [("d", 501, "directories too deep"), ("d", 3000, "directories too deep"), ("n" * 255, 16, "more than 4095 bytes")],
)
def test_no_layer_has_a_path_that_could_not_be_unpacked(name: str, depth: int, error: str, tmp_path: Path) -> None:
    tree = NATIVE.unpack(tars.archive(), tmp_path / "tree", owners="recorded")
    nest(tree, name, depth)

    with pytest.raises(ArchiveError, match=error):
        NATIVE.pack([tree], owners="recorded")
    _remove_deep(f"{tree}/diff")


def test_a_whiteout_of_the_longest_name_can_be_unpacked(tmp_path: Path) -> None:
    name = b"n" * 255
    lower = NATIVE.unpack(
        tars.archive(tars.pax({b"path": name}) + tars.file(b"n")), tmp_path / "low", owners="recorded"
    )
    upper = str(tmp_path / "up")
    create_tree(upper)
    os.mknod(os.path.join(os.fsencode(upper), b"diff", name), 0o20000, 0)

    packed = NATIVE.pack([upper], [lower], owners="recorded")
    again = NATIVE.unpack(packed, tmp_path / "again", owners="recorded")

    assert tars.names(packed) == [".wh." + name.decode()]
    assert os.listdir(f"{again}/diff") == [name.decode()]


def _remove_deep(top: str) -> None:
    import subprocess

    subprocess.run(["rm", "-rf", top], check=True)


# When one of these moves, every layer that anybody has cached or signed moves with it. `none` is the diff ID and
# fixed for ever; the others are of a FORMAT (builder/snapshots/convert.py) and of the libraries pinned in pyproject.
GOLDEN = {
    "none": "sha256:cd12ba2f1a7ea0280cef1e2f3ae0491d34cb2e483faada9016051b89c635e8ee",
    "gzip": "sha256:b3d233c62b9e4a2bcc7a7af04b9875665bc292fffa9d19d8d130a37d47ad2c4a",
    "zstd": "sha256:98e48e9e89ff45de36df30b209ca7617559c174f88a83c2e5d68abe831d5f005",
}


@EACH_OWNERS
@pytest.mark.parametrize("compression", GOLDEN)
def test_golden_digests_of_a_fixed_tree(compression: str, owners: Owners, tmp_path: Path) -> None:
    """D-T4: these bytes come out on any machine, as any user, in any tier, at any number of threads."""
    from tests.native.test_round_trip import everything

    noise = b"".join(hashlib.sha256(b"%d" % i).digest() * 3 for i in range(40_000))
    tree = NATIVE.unpack(everything(), tmp_path / "tree", owners=owners)
    with open(f"{tree}/diff/noise", "wb") as file:
        file.write(noise)
    os.chmod(f"{tree}/diff/noise", 0o644)
    os.utime(f"{tree}/diff/noise", (1, 1))

    digests = set()
    for threads in (1, 2, 5):
        with Workers(threads) as workers:
            packed = pack_diff(
                tree, [], io.BytesIO(), owners=owners, clamp=10, compression=compression, workers=workers
            )
        assert packed.diff_id == GOLDEN["none"]
        digests.add(packed.digest)

    assert digests == {GOLDEN[compression]}, (
        "the bytes of layers have changed. If that is meant, raise FORMAT in builder/snapshots/convert.py, or every "
        "store goes on giving the old ones, and write the new digests here. That of `none`, the diff ID, never moves."
    )
