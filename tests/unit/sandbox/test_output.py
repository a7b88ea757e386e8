"""Lines of output: how they are cut, and that what is hidden never shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.sandbox import output
from builder.sandbox.output import LONGEST_LINE, Lines, mask


def cut(pieces: list[bytes], hidden: tuple[bytes, ...] = ()) -> list[bytes]:
    told: list[bytes] = []
    lines = Lines(told.append, hidden)
    for piece in pieces:
        lines.feed(piece)
    lines.finish()
    return told


def test_lines_are_whole_however_they_arrive() -> None:
    assert cut([b"a", b"b\nc", b"\n\nd"]) == [b"ab", b"c", b"", b"d"]


@pytest.mark.parametrize("before", [LONGEST_LINE - 7, LONGEST_LINE - 1, LONGEST_LINE, 2 * LONGEST_LINE - 3])
@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_value_across_the_cut_of_a_long_line_is_hidden(before: int, size: int) -> None:
    stream = b"x" * before + b"hunter22" + b"y" * (3 * LONGEST_LINE)
    told = cut([stream[at : at + size] for at in range(0, len(stream), size)], (b"hunter22",))

    assert b"".join(told) == b"x" * before + b"****" + b"y" * (3 * LONGEST_LINE)
    assert len(told) > 1


def test_value_longer_than_a_piece_is_hidden() -> None:
    value = bytes(range(97, 123)) * (1 << 13)
    assert b"".join(cut([b"<" + value + b">"], (value,))) == b"<****>"


def test_overlapping_values_are_hidden_whole() -> None:
    assert mask(b"<abcdef>", (b"abcd", b"cdef")) == b"<****>"
    assert mask(b"<abc abcdef>", (b"abc", b"abcdef")) == b"<**** ****>"


WORDS = st.text("ab", min_size=1, max_size=5).map(str.encode)


@pytest.mark.hypothesis
@given(st.text("ab\n", max_size=60).map(str.encode), st.sets(WORDS, min_size=1, max_size=3), st.data())
def test_what_goes_out_is_what_masking_the_whole_line_gives(
    stream: bytes, hidden: set[bytes], data: st.DataObject
) -> None:
    values = tuple(hidden)
    size = data.draw(st.integers(1, 20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "LONGEST_LINE", data.draw(st.integers(1, 12)))
        told = cut([stream[at : at + size] for at in range(0, len(stream), size)], values)

    assert b"".join(told) == b"".join(mask(line, values) for line in stream.split(b"\n"))
