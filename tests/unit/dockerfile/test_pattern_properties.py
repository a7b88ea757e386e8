"""Globs, ignore rules, durations and names, against plain models of their meaning."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from builder.dockerfile import globs
from builder.dockerfile.chain import Chain
from builder.dockerfile.durations import parse_duration
from builder.dockerfile.history import _duration
from builder.dockerfile.ignore import Ignore
from builder.dockerfile.pairs import Pairs
from tests.oracle import patterns

PLAIN = st.text(st.sampled_from("ab*?/."), max_size=8)
NAME = st.text(st.sampled_from("ab./"), max_size=8)
COMPONENT = st.one_of(st.just("**"), st.text(st.sampled_from("ab*?"), min_size=1, max_size=3))
RULE = st.tuples(
    st.booleans(), st.lists(COMPONENT.filter(lambda part: part == "**" or "**" not in part), min_size=1, max_size=3)
)
PATH = st.lists(st.text(st.sampled_from("ab"), min_size=1, max_size=2), min_size=1, max_size=4)


@given(PLAIN, NAME)
@example("*a*ab", "aaab")
def test_globs_against_a_model(pattern: str, name: str) -> None:
    assert globs.match(pattern, name) == patterns.glob(pattern, name)


@given(st.lists(RULE, max_size=4), PATH)
@example([(False, ["**", "a"]), (True, ["b", "**"])], ["b", "a"])
def test_ignore_rules_against_a_model(rules: list[tuple[bool, list[str]]], path: list[str]) -> None:
    written = ["!" * includes + "/".join(components) for includes, components in rules]

    assert Ignore(written).excluded("/".join(path)) == patterns.excluded(rules, path)


@given(st.integers(0, 2**63 - 1))
def test_durations_are_read_as_they_are_shown(nanoseconds: int) -> None:
    assert parse_duration(_duration(nanoseconds)) == nanoseconds


STEPS = st.lists(
    st.tuples(st.integers(0, 9), st.dictionaries(st.sampled_from("abcd"), st.text(max_size=2))), max_size=9
)


@given(STEPS)
def test_pairs_are_values(steps: list[tuple[int, dict[str, str]]]) -> None:
    """Each Pairs stays what it was, whatever is made of it, newest or not, and finds what a dict would."""
    made: list[tuple[Pairs, dict[str, str]]] = [(Pairs(), {})]
    for back, step in steps:
        pairs, model = made[-1 - back % len(made)]
        made.append((pairs.merged(step.items()), {**model, **step}))

    for pairs, model in made:
        assert list(pairs.by_name.items()) == list(pairs.items) == list(model.items())


@given(st.lists(st.tuples(st.integers(0, 9), st.lists(st.integers(), max_size=3)), max_size=9))
def test_chains_are_values(steps: list[tuple[int, list[int]]]) -> None:
    made: list[tuple[Chain[int], list[int]]] = [(Chain(), [])]
    for back, step in steps:
        chain, model = made[-1 - back % len(made)]
        made.append((chain.plus(*step), [*model, *step]))

    for chain, model in made:
        assert (len(chain), list(chain)) == (len(model), model)
