"""What a walk of a context finds: the same as path by path, with each file looked at once."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.dockerfile.ignore import Ignore
from builder.errors import BuildError
from builder.executor.copy_key import changed_since, content_parts
from builder.executor.members import all_below, members_below
from builder.executor.select import select
from builder.sources.context import ContextTree
from builder.sources.hashes import FileHashes
from tests.support import setup_text
from tests.unit.dockerfile.test_sieve import RULE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.executor.select import Source


@pytest.fixture(scope="module")
def tree_of_names() -> Iterator[Path]:
    """Every combination of three names, two levels deep, of files and directories; and some empty ones."""
    with tempfile.TemporaryDirectory() as name:
        for outer in ("a", "b", "ab", "b.a"):
            for inner in ("a", "ab", ".a"):
                (Path(name) / outer / inner / "ba").mkdir(parents=True)
                for leaf in ("a", "b.a"):
                    (Path(name) / outer / inner / leaf).touch()
            (Path(name) / outer / "f").touch()
        yield Path(name)


@settings(deadline=None, max_examples=60)
@given(rules=st.lists(RULE, max_size=3), exclude=st.lists(RULE, max_size=2), top=st.sampled_from(["", "a", "a/ab"]))
def test_a_walk_finds_what_is_there_path_by_path(
    tree_of_names: Path, rules: list[str], exclude: list[str], top: str
) -> None:
    """Under an ignore file, and with --exclude on top of it."""
    tree = ContextTree(str(tree_of_names), Ignore(rules))
    more = Ignore(exclude) if exclude else None
    found = list(all_below(tree, top, more))

    assert sorted(found) == sorted(members_below(tree, top, "", more))
    assert len(found) == len(all_below(tree, top, more))
    seen: set[str] = {""}
    for member in found:
        assert os.path.dirname(member.path) in seen  # a directory comes before what it holds
        seen.add(member.path)
    assert all(not Ignore(rules).excluded(member.entry.path) for member in found if not member.entry.is_dir)
    tree.close()


FILES = """
file a 0644 "1"
file d/b 0644 "2"
file d/e/c 0755 "3"
link d/l b
fifo d/p 0644
dir empty 0755
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "c").mkdir()
    setup_text.make(FILES, tmp_path / "c")
    return tmp_path / "c"


def chosen(root: Path, *paths: str, exclude: tuple[str, ...] = (), parents: bool = False) -> tuple[Source, ...]:
    tree = ContextTree(str(root), Ignore(()))
    return tuple(select(tree, paths, exclude, BuildError, parents))


def key(root: Path, *paths: str, exclude: tuple[str, ...] = (), parents: bool = False) -> list[object]:
    tree = ContextTree(str(root), Ignore(()))
    try:
        sources = select(tree, paths, exclude, BuildError, parents)
        return content_parts(sources, tree, FileHashes(str(root.parent / "hashes"), str(root)))
    finally:
        tree.close()


def _swap(one: Path, other: Path) -> None:
    one.rename(one.with_suffix(".x"))
    other.rename(one)
    one.with_suffix(".x").rename(other)


def _relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


FLIPS: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "d/e/c").write_text("4"),
    "swapped content": lambda root: _swap(root / "a", root / "d/b"),
    "mode": lambda root: (root / "d/e/c").chmod(0o644),
    "mode of a directory": lambda root: (root / "d/e").chmod(0o700),
    "name": lambda root: (root / "d/e/c").rename(root / "d/e/x"),
    "name of a directory": lambda root: (root / "d/e").rename(root / "d/x"),
    "link target": lambda root: _relink(root / "d/l", "a"),
    "type": lambda root: ((root / "d/b").unlink(), (root / "d/b").symlink_to("2")),
    "file moved down": lambda root: (root / "d/b").rename(root / "d/e/b"),
    "empty directory": lambda root: (root / "empty").rmdir(),
    "hard link": lambda root: ((root / "d/b").unlink(), (root / "d/b").hardlink_to(root / "d/e/c")),
}


@pytest.mark.parametrize("flip", FLIPS.values(), ids=FLIPS.keys())
@pytest.mark.parametrize(
    "select_all", [lambda root: key(root, "."), lambda root: key(root, "*"), lambda root: key(root, "**", parents=True)]
)
def test_every_flip_changes_the_key(
    root: Path, flip: Callable[[Path], object], select_all: Callable[[Path], list[object]]
) -> None:
    before = select_all(root)
    flip(root)

    assert select_all(root) != before


def test_which_files_are_one_file_is_part_of_the_key(root: Path) -> None:
    """The same names, modes, contents and counts of links, otherwise paired, and across directories."""
    for name in ("a", "d/b", "d/e/c", "d/e/f"):
        (root / name).unlink(missing_ok=True)
    (root / "a").write_text("")
    (root / "d/b").write_text("")
    (root / "d/e/c").hardlink_to(root / "a")
    (root / "d/e/f").hardlink_to(root / "d/b")
    before = key(root, ".")
    _swap(root / "d/e/c", root / "d/e/f")

    assert key(root, ".") != before
    _swap(root / "d/e/c", root / "d/e/f")
    assert key(root, ".") == before


@pytest.mark.parametrize("parents", [False, True])
def test_what_does_not_count(root: Path, parents: bool) -> None:
    """Times, inodes and the place of the checkout; and what is excluded."""
    paths, exclude = ("./d/.",), ("**/log",)
    before = key(root, *paths, exclude=exclude, parents=parents)
    os.utime(root / "d/b", (1, 1))
    (root / "d/e/log").write_text("x")
    (root / "d/e/new").write_text("3")
    (root / "d/e/new").chmod(0o755)
    (root / "d/e/new").rename(root / "d/e/c")
    moved = root.rename(root.parent / "elsewhere")

    assert key(moved, *paths, exclude=exclude, parents=parents) == before


CHANGES: dict[str, tuple[Callable[[Path], object], str | None]] = {
    "nothing": (lambda root: None, None),
    "content": (lambda root: (root / "d/b").write_text("2"), "d/b"),
    "a link": (lambda root: _relink(root / "d/l", "b"), "d/l"),
    "gone": (lambda root: (root / "d/e/c").unlink(), "d/e/c"),
    "directory gone": (lambda root: (root / "d/e").rename(root / "d/x"), "d/e"),
    "something new": (lambda root: (root / "d/e/new").touch(), None),
    "an excluded file": (lambda root: (root / "d/e/log").write_text("2"), None),
    "mode": (lambda root: (root / "a").chmod(0o600), "a"),
}


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES.keys())
def test_what_changes_while_it_is_copied(root: Path, change: Callable[[Path], object], told: str | None) -> None:
    (root / "d/e/log").write_text("1")
    sources = chosen(root, ".", "a", exclude=("**/log",))
    change(root)
    tree = ContextTree(str(root), Ignore(()))

    assert changed_since(sources, tree) == told
    tree.close()


@pytest.mark.parametrize("seconds", [0, -(1 << 31), (1 << 34) - 1])
def test_one_file_looks_as_it_is_listed(root: Path, seconds: int) -> None:
    """Also one from beyond what 64 bits of nanoseconds hold."""
    os.utime(root / "a", (seconds, seconds))
    tree = ContextTree(str(root), Ignore(()))

    assert [entry for entry in tree.entries("") if entry.path == "a"] == [tree.entry("a")]
    tree.close()


@pytest.mark.parametrize(("name", "depth"), [("d", 1100), ("d" * 200, 30)])
def test_a_deep_directory(tmp_path: Path, name: str, depth: int) -> None:
    """Deeper than Python recurses; and of a longer path than the kernel takes at once."""
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    tree = ContextTree(str(tmp_path), Ignore(()))

    assert len(all_below(tree, "", None)) == depth + 1
    tree.close()
    subprocess.run(["rm", "-rf", tmp_path / name], check=True)  # what Python could not remove
