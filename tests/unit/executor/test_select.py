"""Which files the sources of a COPY name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.dockerfile.ignore import Ignore
from builder.errors import BuildError
from builder.executor.select import select
from builder.sources.context import ContextTree
from tests.support import setup_text
from tests.support.views import make_tree, view_of

if TYPE_CHECKING:
    from pathlib import Path

    from builder.snapshots.filetree import FileTree

FILES = """
file a.txt 0644 a
file b.txt 0644 b
file d/c.txt 0644 c
file d/e/f.txt 0644 f
link to-a a.txt
link to-d /d
link up ../../../a.txt
link loop loop
link gone nowhere
"""


@pytest.fixture(params=["context", "view"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> FileTree:
    """The same files as a build context and as the tree of a stage."""
    if request.param == "view":
        view = view_of(make_tree(tmp_path / "t", FILES))
        request.addfinalizer(lambda: view.__exit__(None, None, None))
        return view
    (tmp_path / "c").mkdir()
    setup_text.make(FILES, tmp_path / "c")
    context = ContextTree(str(tmp_path / "c"), Ignore(()))
    request.addfinalizer(context.close)
    return context


def names(tree: FileTree, *paths: str, exclude: tuple[str, ...] = ()) -> list[tuple[str, str, list[str]]]:
    """Name, real path and members of each source."""
    found = select(tree, paths, exclude, lambda path: BuildError(f"no {path}"))
    return [(source.name, source.entry.path, [member.path for member in source.members]) for source in found]


@pytest.mark.parametrize(
    "path", ["a.txt", "/a.txt", "./a.txt", "a.txt/", "../../a.txt", "d/../a.txt", "d/e/../../a.txt"]
)
def test_a_path_stays_in_the_tree(tree: FileTree, path: str) -> None:
    assert names(tree, path) == [("a.txt", "a.txt", [])]


def test_directories_bring_their_members(tree: FileTree) -> None:
    assert names(tree, "d") == [("d", "d", ["c.txt", "e", "e/f.txt"])]


def test_links_are_followed_and_keep_their_names(tree: FileTree) -> None:
    assert names(tree, "to-a") == [("to-a", "a.txt", [])]
    assert names(tree, "to-d") == [("to-d", "d", ["c.txt", "e", "e/f.txt"])]
    assert names(tree, "to-d/c.txt") == [("c.txt", "d/c.txt", [])]
    assert names(tree, "up") == [("up", "a.txt", [])]


@pytest.mark.parametrize("path", ["gone", "none", "a.txt/x", "d/none"])
def test_what_is_missing(tree: FileTree, path: str) -> None:
    with pytest.raises(BuildError, match=f"no {path}"):
        names(tree, path)


def test_a_loop_of_links_is_an_error(tree: FileTree) -> None:
    with pytest.raises(BuildError, match="too many levels of symbolic links"):
        names(tree, "loop")


def test_wildcards_match_in_order_of_names(tree: FileTree) -> None:
    assert [name for name, _, _ in names(tree, "?.txt")] == ["a.txt", "b.txt"]
    assert names(tree, "d/*/f.txt") == [("f.txt", "d/e/f.txt", [])]
    assert names(tree, "*/f.txt") == []
    assert names(tree, "none*", "a.txt/*") == []


def test_excludes_are_relative_to_each_directory(tree: FileTree) -> None:
    assert names(tree, "d", exclude=("c.txt", "**/f.txt")) == [("d", "d", ["e"])]
    assert names(tree, "a.txt", exclude=("a.txt",)) == [("a.txt", "a.txt", [])]
    assert names(tree, "d", exclude=("**", "!e/f.txt")) == [("d", "d", ["e", "e/f.txt"])]
