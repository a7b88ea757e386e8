"""Where a COPY puts things: a list of placements over the view below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.errors import BuildError
from builder.executor.chmod import Mode
from builder.executor.copy_plan import CopyPlan, Inline, Rules
from builder.executor.select import select
from tests.support.views import make_tree, view_of

if TYPE_CHECKING:
    from pathlib import Path

    from builder.executor.copy_plan import Placement

ROOT_OWNED = Rules((0, 0), None)
SOURCES = """
file a 0640 a
file d/x 0600 x
hardlink d/y x
dir d/sub 0700
link d/l x
fifo d/p 0600
"""
BELOW = """
dir usr/lib 0711
link lib usr/lib
link out ../../../usr
link gone usr/missing
file file 0644 f
"""


class Room:
    def __init__(self, path: Path) -> None:
        self.below = view_of(make_tree(path / "below", BELOW))
        self.sources = view_of(make_tree(path / "sources", SOURCES))

    def plan(self, dest: str, *paths: str, rules: Rules = ROOT_OWNED) -> list[Placement]:
        plan = CopyPlan(self.below, dest, rules)
        for source in select(self.sources, paths, (), BuildError):
            plan.add(source, self.sources)
        return plan.placements

    def shown(self, dest: str, *paths: str, rules: Rules = ROOT_OWNED) -> list[str]:
        return [f"{item.kind} {item.mode & 0o7777:o} {item.path}" for item in self.plan(dest, *paths, rules=rules)]


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_parents_come_first_and_once(room: Room) -> None:
    assert room.shown("/new/er/", "a", "d/x") == [
        "dir 755 new",
        "dir 755 new/er",
        "file 640 new/er/a",
        "file 600 new/er/x",
    ]


def test_what_exists_is_repeated_as_it_is(room: Room) -> None:
    assert room.shown("/usr/lib/a", "a") == [
        "copyup 755 usr",
        "copyup 711 usr/lib",
        "file 640 usr/lib/a",
    ]


@pytest.mark.parametrize(
    ("dest", "path"),
    [
        ("/lib", "usr/lib/a"),
        ("/lib/", "usr/lib/a"),
        ("/lib/b", "usr/lib/b"),
        ("/out/b", "usr/b"),
        ("/../../lib/./b", "usr/lib/b"),
        ("/gone", "gone"),
        ("/file", "file"),
        ("/", "a"),
    ],
)
def test_where_a_file_goes(room: Room, dest: str, path: str) -> None:
    """Links on the way and to directories are followed within the root; a link in the last place is replaced."""
    assert room.plan(dest, "a")[-1].path == path


def test_a_directory_gives_its_members(room: Room) -> None:
    assert room.shown("/to", "d") == [
        "dir 755 to",
        "symlink 777 to/l",
        "fifo 600 to/p",
        "dir 700 to/sub",
        "file 600 to/x",
        "hardlink 600 to/y",
    ]
    assert room.plan("/to", "d")[-1].link == "to/x"


def test_chmod_and_chown(room: Room) -> None:
    octal = room.plan("/new/", "d", rules=Rules((3, 4), Mode("751")))
    assert {f"{item.mode & 0o7777:o}" for item in octal if item.kind in ("dir", "file", "fifo")} == {"751"}
    assert {(item.uid, item.gid) for item in octal if item.kind != "copyup"} == {(3, 4)}
    symbolic = room.shown("/new/", "a", rules=Rules((0, 0), Mode("a+x")))
    assert symbolic == ["dir 755 new", "file 751 new/a"]


@pytest.mark.parametrize(("dest", "path"), [("/file/x", "a"), ("/file", "d"), ("/file/", "a")])
def test_a_file_is_in_the_way(room: Room, dest: str, path: str) -> None:
    with pytest.raises(BuildError, match="not a directory"):
        room.plan(dest, path)


def test_inline_files_replace_each_other(room: Room) -> None:
    plan = CopyPlan(room.below, "/x", ROOT_OWNED)
    plan.add_inline(Inline("one", b"1"))
    plan.add_inline(Inline("two", b"2"))

    assert [(item.path, item.content) for item in plan.placements if item.kind == "file"] == [("x", b"1"), ("x", b"2")]


def test_a_destination_of_its_own(room: Room) -> None:
    plan = CopyPlan(room.below, "/lib/new/", Rules((7, 8), None))
    plan.make_destination()

    made = plan.placements[-1]
    assert (made.kind, made.path, made.uid, made.gid) == ("dir", "usr/lib/new", 7, 8)
