"""What makes lines of output safe, and numbers short."""

from __future__ import annotations

import pytest

from builder.progress import text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain", ["plain"]),
        ("", [""]),
        ("tab\tstays", ["tab\tstays"]),
        ("windows\r", ["windows"]),
        ("10%\r20%\r", ["10%", "20%"]),
        ("\x1b[31mred\x1b[0m", ["red"]),
        ("\x1b]0;title\x07", ["^[]0;title^G"]),
        ("a\x9bb\x7f", ["a\\x9bb^?"]),
        ("caf\u00e9 \u65e5\u672c", ["caf\u00e9 \u65e5\u672c"]),
        ("\udcff", ["\\xff"]),
    ],
)
def test_a_line_is_shown_whole_and_cannot_drive_the_terminal(line: str, shown: list[str]) -> None:
    """Nothing is lost: what is not printable is spelled out, a carriage return begins a line."""
    assert text.lines(line, colour=False) == shown


def test_colours_are_kept_where_wanted_and_end_with_the_line() -> None:
    """A step that sets a colour and never resets it must not colour the next step's lines."""
    assert text.printable("\x1b[1;31mred\x1b[5A", colour=True) == "\x1b[1;31mred^[[5A\x1b[0m"
    assert text.printable("a\tb", colour=True) == "a\tb"


def test_labels() -> None:
    """A step's name is "[stage n/m] instruction"; one without a stage is known by its id."""
    assert text.label("[a 1/2] RUN x", "7") == "[a 1/2]"
    assert text.label("exporting [x] y", "7") == "[#7]"
    assert text.instruction("[a 1/2] RUN x") == "RUN x"
    assert text.instruction("exporting") == "exporting"
    assert text.one_line("RUN <<EOF\n  a\nEOF\x1b") == "RUN <<EOF a EOF^["


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0.0s"), (59.94, "59.9s"), (60, "1m00s"), (3599, "59m59s"), (3725, "1h02m")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert text.size(count) == shown
