"""Ignore files and globs (dockerfile-language 1.9, 1.11)."""

from __future__ import annotations

import time

import pytest

from builder.dockerfile import globs
from builder.dockerfile.ignore import Ignore, clean, parse_ignore, read_patterns
from builder.errors import DockerfileError

RULES = [
    (["a"], ["a", "a/b", "a/b/c"], ["b/a", "ab"]),
    (["*.o"], ["x.o", "x.o/y"], ["a/x.o", "x.oo"]),
    (["**/*.o"], ["x.o", "a/x.o", "a/b/x.o/c"], ["x.oo"]),
    (["a/**/b"], ["a/b", "a/x/b", "a/x/y/b"], ["a", "a/xb"]),
    (["a/**"], ["a/b", "a/b/c"], ["a"]),
    (["**.txt"], ["a.txt", "b/a.txt"], ["a.txt2"]),
    (["a?c/[x-z]"], ["abc/y", "abc/y/z"], ["a/c/y", "abc/w"]),
    (["a\\*"], ["a*"], ["ab"]),
    (["", "  "], [], ["a"]),
    (["/../a"], [], ["a"]),
    ([r"a[^b]"], ["ac"], ["ab"]),
    (["a", "!a/b"], ["a", "a/c"], ["a/b", "a/b/c"]),
    (["!a", "a"], ["a"], []),
    (["*", "!keep", "keep/not"], ["x", "keep/not", "keep/not/y"], ["keep", "keep/this"]),
    (["**", "!**/*.md"], ["a", "a/b"], ["x.md", "a/x.md"]),
]


@pytest.mark.parametrize(("patterns", "excluded", "included"), RULES)
def test_rules(patterns: list[str], excluded: list[str], included: list[str]) -> None:
    """The last rule that matches a path, or a directory above it, decides."""
    ignore = Ignore(patterns)

    assert [path for path in excluded + included if ignore.excluded(path)] == excluded


PRUNING = [
    (["a"], [], ["a", "a/b"]),
    (["*", "!a/b"], ["a", "a/b", "a/b/c"], ["b", "ab", "a/c"]),
    (["*", "!a*/b"], ["a", "ax"], ["b", "ax/c"]),
    (["*", "!**/x"], ["a", "a/b/c"], []),
    (["*", "!a/**/x"], ["a", "a/b"], ["b"]),
    (["*", "![ab]/x"], ["a", "c"], []),
]


@pytest.mark.parametrize(("patterns", "worth", "pruned"), PRUNING)
def test_pruning(patterns: list[str], worth: list[str], pruned: list[str]) -> None:
    """A directory is skipped whole only when no `!` rule can match below it."""
    ignore = Ignore(patterns)

    assert [path for path in worth + pruned if ignore.may_contain_included(path)] == worth


def test_patterns_of_a_file() -> None:
    text = "\ufeff# comment\na/\r\n  /b/../c  \n\n #not a comment\n! /d\n"

    assert read_patterns(text) == ["a", "c", "#not a comment", "!d"]


@pytest.mark.parametrize("bad", ["!", "a[", "[]a]", "[a-]", "a\\", "!x["])
def test_errors_point_to_their_line(bad: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_ignore(f"# c\nok\n{bad}\n", "x.dockerignore")

    assert str(caught.value.span) == "x.dockerignore:3"


@pytest.mark.parametrize(
    ("path", "shortest"),
    [("a//b/./c/..", "a/b"), ("//a", "/a"), ("///a", "/a"), ("/..", "/"), ("", "."), ("a/", "a")],
)
def test_clean(path: str, shortest: str) -> None:
    assert clean(path) == shortest


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*", ["a", ".a", ""], ["a/b"]),
        ("a*c*e", ["ace", "abcde", "acce"], ["ac", "aced", "a/ce"]),
        ("**", ["ab"], ["a/b"]),
        ("?", ["a", "é"], ["", "ab", "/"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "x"]),
        ("[^a-c]", ["d", "é"], ["a", ""]),
        ("[\\]]", ["]"], ["\\"]),
        ("[[]", ["["], ["]"]),
        ("[c-a]", [], ["a", "b", "c", "\x00"]),
        ("[^c-a]", ["a", "\x00"], []),
        ("a.b", ["a.b"], ["axb"]),
        ("\\*", ["*"], ["a"]),
        ("*\n", ["a\n"], ["a"]),
    ],
)
def test_globs(pattern: str, matching: list[str], others: list[str]) -> None:
    assert [name for name in matching + others if globs.match(pattern, name)] == matching


def test_glob_takes_linear_time() -> None:
    begin = time.monotonic()

    assert not globs.match("*a" * 40 + "b", "a" * 4000)

    assert time.monotonic() - begin < 2


def test_a_path_can_be_left_out_of_any_rules() -> None:
    found = Ignore(["*", "!keep", "!a*b"]).without("a*b/[st]ore")
    assert not found.excluded("keep")
    assert not found.excluded("a*b/other")
    assert found.excluded("a*b/[st]ore")
    assert found.excluded("a*b/[st]ore/blobs")
    assert not found.excluded("axb/[st]ore")
