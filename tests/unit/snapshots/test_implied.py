"""What a layer only implies is like the next lower directory that a layer speaks of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from builder.layers.tree import Owners, read_implied
from builder.snapshots.implied import make_attributes
from builder.snapshots.snapshot import Snapshot
from builder.snapshots.view import View
from tests.support import tars
from tests.support.trees import EACH_OWNERS, NATIVE

if TYPE_CHECKING:
    from pathlib import Path

HOME = tars.directory(b"a/", mtime=3) + tars.directory(b"a/b/", mode=0o1770, uid=7, gid=8, mtime=5)
IMPLIES = tars.file(b"a/b/x")
OTHER = tars.directory(b"a/b/", mode=0o700, uid=1, gid=2, mtime=9)
DEFAULT = (0o755, 0, 0, 1)

Look = tuple[int, int, int, int]


def stack(room: Path, layers: tuple[bytes, ...], owners: Owners) -> Snapshot:
    trees = [
        NATIVE.unpack(tars.archive(layer), room / str(number), owners=owners) for number, layer in enumerate(layers)
    ]
    return Snapshot(tuple(reversed(trees)))


def looks(snapshot: Snapshot, owners: Owners, *paths: str) -> list[Look | None]:
    with View(snapshot, owners) as view:
        entries = map(view.entry, paths)
        return [(e.mode & 0o7777, e.uid, e.gid, e.mtime_ns) if e else None for e in entries]


B = (0o1770, 7, 8, 5 * 10**9)
OTHERS = (0o700, 1, 2, 9 * 10**9)
CASES: dict[str, tuple[tuple[bytes, ...], Look | None]] = {
    "below": ((HOME, IMPLIES), B),
    "two layers below": ((HOME, IMPLIES, tars.file(b"a/b/y")), B),
    "the next lower one": ((HOME, OTHER, IMPLIES), OTHERS),
    "a layer above speaks": ((HOME, IMPLIES, OTHER), OTHERS),
    "an entry that comes later": ((HOME, IMPLIES + OTHER), OTHERS),
    "nothing below": ((tars.file(b"z"), IMPLIES), DEFAULT),
    "only implied": ((IMPLIES, tars.file(b"a/b/y")), DEFAULT),
    "by a whiteout": ((HOME, tars.file(b"a/b/.wh.x")), B),
    "by an opaque mark": ((HOME, tars.file(b"a/b/.wh..wh..opq")), B),
    "deleted between": ((HOME, tars.file(b"a/.wh.b"), IMPLIES), DEFAULT),
    "its parent deleted between": ((HOME, tars.file(b".wh.a"), IMPLIES), DEFAULT),
    "deleted by the same layer": ((HOME, tars.file(b"a/.wh.b") + IMPLIES), (0o755, 0, 0, 0)),
    "a file below": ((HOME, tars.file(b"a/.wh.b"), tars.file(b"a/b"), IMPLIES), DEFAULT),
    "deleted above": ((HOME, IMPLIES, tars.file(b"a/.wh.b")), None),
    "a file above": ((HOME, IMPLIES, tars.file(b"a/.wh.b") + tars.file(b"a/b", mtime=1)), (0o644, 0, 0, 10**9)),
}  # fmt: skip


@EACH_OWNERS
@pytest.mark.parametrize("case", CASES)
def test_it_is_as_the_next_lower_layer_that_speaks_of_it_says(case: str, owners: Owners, tmp_path: Path) -> None:
    layers, expected = CASES[case]
    snapshot = stack(tmp_path, layers, owners)

    make_attributes(snapshot, str(tmp_path / "top"), owners)

    assert looks(snapshot.over(str(tmp_path / "top")), owners, "a/b") == [expected]


@EACH_OWNERS
def test_the_root_stays_where_nothing_is_to_be_done(owners: Owners, tmp_path: Path) -> None:
    root = tars.directory(b"./", mode=0o711, uid=3, mtime=2)
    snapshot = stack(tmp_path, (tars.file(b"z"), root + IMPLIES), owners)

    make_attributes(snapshot, str(tmp_path / "top"), owners)

    assert os.listdir(tmp_path / "top" / "diff") == []
    assert looks(snapshot.over(str(tmp_path / "top")), owners, "") == [(0o711, 3, 0, 2 * 10**9)]


@EACH_OWNERS
def test_the_root_and_what_the_directories_are_in_stay(owners: Owners, tmp_path: Path) -> None:
    root = tars.directory(b"./", mode=0o711, uid=3, mtime=2)
    snapshot = stack(tmp_path, (HOME, root + tars.directory(b"a/", mode=0o750, mtime=4) + IMPLIES), owners)

    make_attributes(snapshot, str(tmp_path / "top"), owners)

    above = [(0o711, 3, 0, 2 * 10**9), (0o750, 0, 0, 4 * 10**9)]
    assert looks(snapshot.over(str(tmp_path / "top")), owners, "", "a", "a/b") == [*above, B]
    assert sorted(os.listdir(tmp_path / "top" / "diff" / "a")) == ["b"]


def test_only_what_no_entry_speaks_of_is_written_down(tmp_path: Path) -> None:
    parts = tars.file(b"a/b/x"), tars.directory(b"a/b/"), tars.directory(b"c/"), tars.file(b"c/d/e/x")
    some = NATIVE.unpack(tars.archive(*parts), tmp_path / "some", owners="recorded")
    none = NATIVE.unpack(tars.archive(IMPLIES, tars.directory(b"a/"), OTHER), tmp_path / "none", owners="recorded")

    assert read_implied(some) == [b"a/b", b"c/d/e"]
    assert read_implied(none) == []
    assert sorted(os.listdir(none)) == ["diff"]
