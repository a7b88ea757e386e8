"""Whole directories through ignore rules: what the rules say path by path."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.dockerfile import sieve
from builder.dockerfile.ignore import Ignore
from builder.dockerfile.sieve import Place
from tests.unit.dockerfile.test_ignore import PRUNING, RULES

NAMES = ["a", "b", "ab", "ba", ".a", "b.a", "a\nb", "!"]
COMPONENT = st.one_of(
    st.sampled_from(["**", "***", "**a", "**.a", "a**", "**a?", "a**b", "[ab]", "[^a]", "[!-9]", "\\a", "b.a", "(a|b"]),
    st.text(st.sampled_from("ab*?."), min_size=1, max_size=3),
)
RULE = st.builds(
    lambda includes, parts: "!" * includes + "/".join(parts),
    st.booleans(),
    st.lists(COMPONENT, min_size=1, max_size=3),
)


def at(ignore: Ignore, path: str) -> Place:
    place = sieve.start(ignore)
    for name in filter(None, path.split("/")):
        place = place.enter(name)
    return place


def check(ignore: Ignore, place: Place, path: str, depth: int) -> None:
    flipped = set(place.flipped("".join(f"{name}\0" for name in NAMES)))
    for number, name in enumerate(NAMES):
        child = f"{path}/{name}" if path else name
        expected = ignore.excluded(child)
        assert ((number in flipped) != place.excluded) == expected, child
        inner = place.enter(name)
        assert inner.excluded == expected, child
        if expected and not ignore.may_contain_included(child):
            assert inner.dead, child
        if inner.dead:
            assert all(ignore.excluded(f"{child}/{below}") for below in NAMES), child
        elif depth:
            check(ignore, inner, child, depth - 1)


@settings(deadline=None, max_examples=60)
@given(st.lists(RULE, min_size=1, max_size=4))
def test_it_says_what_the_rules_say(rules: list[str]) -> None:
    """Of files and directories at three depths; and it prunes what they would, and nothing that is included."""
    ignore = Ignore(rules)
    check(ignore, sieve.start(ignore), "", 2)


@pytest.mark.parametrize(("patterns", "excluded", "included"), RULES)
def test_rules(patterns: list[str], excluded: list[str], included: list[str]) -> None:
    ignore = Ignore(patterns)
    assert [path for path in excluded + included if at(ignore, path).excluded] == excluded


@pytest.mark.parametrize(("patterns", "worth", "pruned"), PRUNING)
def test_pruning(patterns: list[str], worth: list[str], pruned: list[str]) -> None:
    """At least what the rules prune."""
    assert all(at(Ignore(patterns), path).dead for path in pruned)
    below = {"a": "b", "a/b": "x", "a/b/c": "x", "ax": "b", "c": "x"}
    for path in worth:
        if not Ignore(patterns).excluded(f"{path}/{below[path]}"):
            assert not at(Ignore(patterns), path).dead


@pytest.mark.parametrize(
    "pattern", ["**/node_modules", "*.py[cod]", "**.log", "dist/**", "a/**/b", "src/*.o", "\\#x", "[a-z]*/x", "/x"]
)
def test_usual_patterns_are_taken_apart(pattern: str) -> None:
    """A whole directory at once: path by path is only for those that may match a slash."""
    assert sieve.split(pattern) is not None


def test_most_directories_share_one_place() -> None:
    """However many there are, rules are compiled a few times."""
    root = sieve.start(Ignore(["**/node_modules", "*.md", "!README.md", "dist"]))
    inner = {id(root.enter(f"d{number}").enter("e")) for number in range(50)}
    assert len(inner) == 1
