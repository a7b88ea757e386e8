"""The view of a stack of trees is what overlayfs would show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.errors import BuildError
from builder.snapshots.filetree import resolve
from tests.support.views import make_tree, view_of

if TYPE_CHECKING:
    from pathlib import Path

    from builder.snapshots.view import View

LOW = """
file a 0644 low
file d/one 0644 low
file d/two 0644 low
file e/x 0644 low
file f/x 0644 low
dir g 0711
file g/sub/x 0644 low
"""


def walk(view: View, path: str = "") -> list[str]:
    found = []
    for entry in view.entries(path):
        found.append(entry.path)
        if entry.is_dir:
            found += walk(view, entry.path)
    return found


@pytest.fixture
def low(tmp_path: Path) -> str:
    return make_tree(tmp_path / "low", LOW)


def test_no_trees_are_an_empty_root() -> None:
    with view_of() as view:
        root = view.entry("")
        assert root is not None
        assert (root.is_dir, root.mode & 0o7777, view.entries(""), view.entry("x")) == (True, 0o755, [], None)


def test_the_topmost_name_wins_and_directories_merge(tmp_path: Path, low: str) -> None:
    top = make_tree(tmp_path / "top", "file a 0600 top\nfile d/three 0644 top\ndir d 0700\nfile e 0644 top")
    with view_of(top, low) as view:
        assert walk(view) == ["a", "d", "d/one", "d/three", "d/two", "e", "f", "f/x", "g", "g/sub", "g/sub/x"]
        assert view.read("a", 10) == b"top"
        assert view.read("d/one", 10) == b"low"
        directory = view.entry("d")
        assert directory is not None
        assert directory.mode & 0o7777 == 0o700
        assert view.entry("e/x") is None


def test_whiteouts_hide_what_is_below(tmp_path: Path, low: str) -> None:
    top = make_tree(tmp_path / "top", whiteouts=("a", "d/one", "e"))
    with view_of(top, low) as view:
        assert walk(view) == ["d", "d/two", "f", "f/x", "g", "g/sub", "g/sub/x"]
        assert [view.entry(path) for path in ("a", "d/one", "e", "e/x")] == [None] * 4


def test_what_is_over_a_whiteout_does_not_see_below_it(tmp_path: Path, low: str) -> None:
    middle = make_tree(tmp_path / "middle", whiteouts=("d", "g"))
    top = make_tree(tmp_path / "top", "file d/new 0644 top\nfile g 0644 file")
    with view_of(top, middle, low) as view:
        assert [entry.path for entry in view.entries("d")] == ["d/new"]
        assert view.entry("d/two") is None
        assert view.entry("g/sub/x") is None


def test_opaque_directories_hide_their_namesakes(tmp_path: Path, low: str) -> None:
    top = make_tree(tmp_path / "top", "file d/new 0644 top\ndir g 0755\ndir g/sub 0755", opaque=("d", "g"))
    with view_of(top, low) as view:
        assert walk(view) == ["a", "d", "d/new", "e", "e/x", "f", "f/x", "g", "g/sub"]
        assert view.entry("d/one") is None
        assert view.entry("g/sub/x") is None


def test_a_file_between_directories_ends_the_merge(tmp_path: Path, low: str) -> None:
    middle = make_tree(tmp_path / "middle", "file d 0644 file")
    top = make_tree(tmp_path / "top", "file d/new 0644 top")
    with view_of(top, middle, low) as view:
        assert [entry.path for entry in view.entries("d")] == ["d/new"]


def test_links_resolve_within_the_root(tmp_path: Path, low: str) -> None:
    text = "link abs /d\nlink up ../../../../d/one\nlink chain abs\nlink loop pool\nlink pool loop\nlink gone none/x"
    with view_of(make_tree(tmp_path / "top", text), low) as view:
        assert resolve(view, "abs/one") == "d/one"
        assert resolve(view, "up") == "d/one"
        assert resolve(view, "chain/../../a") == "a"
        assert resolve(view, "chain", follow=False) == "chain"
        assert resolve(view, "gone/y") == "none/x/y"
        assert resolve(view, "/../..//./a") == "a"
        assert view.read("up", 2) == b"lo"
        with pytest.raises(BuildError, match="too many levels"):
            resolve(view, "loop")


def test_hard_links_have_one_inode_within_a_tree(tmp_path: Path) -> None:
    low = make_tree(tmp_path / "low", "file a 0644 x\nhardlink b a\nfile c 0644 x")
    top = make_tree(tmp_path / "top", "file c 0644 x")
    with view_of(top, low) as view:
        a, b, c = (view.entry(name) for name in "abc")
        assert a and b and c
        assert a.inode == b.inode != c.inode
        assert (a.links, c.links) == (2, 1)


@pytest.mark.parametrize("path", ["none", "a/x", "d"])
def test_reading_what_is_no_file(low: str, path: str) -> None:
    with view_of(low) as view:
        assert view.read(path, 10) is None
