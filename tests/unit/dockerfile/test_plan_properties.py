"""What must hold for the plan of every Dockerfile that can be read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.dockerfile import steps
from builder.dockerfile.pairs import Pairs
from builder.errors import BuildError
from tests.unit.dockerfile.test_plans import planned

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Instruction
    from builder.dockerfile.state import StageState
    from builder.dockerfile.surroundings import Surroundings

VALUE = st.sampled_from(
    ["a", "$a", "${b}", "${a:-x}", "'a", "${", "b c", '"q"', "", "/", "80", "1-2/udp", "<<E", "s", "*"]
)
METADATA = [
    "ENV",
    "LABEL",
    "ARG",
    "USER",
    "EXPOSE",
    "VOLUME",
    "STOPSIGNAL",
    "SHELL",
    "CMD",
    "ENTRYPOINT",
    "WORKDIR",
    "RUN",
]
LINE = st.one_of(
    st.tuples(
        st.sampled_from([*METADATA, "MAINTAINER"]),
        st.one_of(VALUE, st.tuples(st.sampled_from("ab"), VALUE).map("=".join), st.just('["a"]')),
    ).map(" ".join),
    st.tuples(st.sampled_from(["COPY", "ADD", "COPY --from=s", "COPY --from=1", "COPY --from=$a"]), VALUE, VALUE).map(
        " ".join
    ),
    st.sampled_from(["FROM s", "FROM scratch AS s", "FROM t AS t", "FROM $a", "FROM x:onbuild", "FROM scratch AS t"]),
    st.sampled_from(["ONBUILD COPY --from=s a b", "ONBUILD ENV a=$b", "ONBUILD RUN x", "HEALTHCHECK CMD a"]),
)


@given(st.lists(LINE, max_size=12), st.sampled_from([None, "s", "0"]))
def test_plans_fail_only_with_a_place(lines: list[str], target: str | None) -> None:
    """No file makes lowering raise anything but a BuildError, and what is wrong in the file names its line."""
    source = "\n".join(["ARG a=1", "FROM scratch AS s", *lines])
    try:
        plan = planned(source, target)
    except BuildError as error:
        unknown_target = target is not None and "target stage" in error.message
        assert unknown_target or (error.span is not None and 1 <= error.span.first <= source.count("\n") + 1)
    else:
        assert plan.target in plan.graph.ops


@pytest.mark.parametrize(
    "line", ["ENV A{0}={0}", "ARG A{0}={0}", "LABEL a{0}={0}", "ENV A=$A{0}", "EXPOSE {0}", "COPY a /{0}", "RUN {0}"]
)
def test_no_state_copies_what_grows(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What thousands of instructions add is in no tuple made anew by each, and no index is made again."""
    longest = restored = 0
    step, restore = steps.lower, Pairs._restored

    def measured(state: StageState, item: Instruction, around: Surroundings) -> StageState:
        nonlocal longest
        made = step(state, item, around)
        longest = max(longest, *(len(value) for value in (*made, *made.config) if isinstance(value, tuple)))
        return made

    def counted(self: Pairs) -> dict[str, str]:
        nonlocal restored
        restored += 1
        return restore(self)

    monkeypatch.setattr(steps, "lower", measured)
    monkeypatch.setattr(Pairs, "_restored", counted)
    planned("FROM scratch\n" + "".join(line.format(number) + "\n" for number in range(1, 1000)))

    assert longest < 100
    assert restored < 10


def test_many_stages_are_no_deep_recursion() -> None:
    depth = sys.getrecursionlimit() * 2
    planned("FROM scratch AS s0\n" + "".join(f"FROM s{n} AS s{n + 1}\n" for n in range(depth)))
