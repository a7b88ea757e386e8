"""Errors of the language: raised where the cause is known, given their place where the file is known.

words.py, flags.py, mounts.py …   raise Fault(message, near="the text at fault")
parser.py                         finds that text in the lines of the instruction: file:line:column
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import DockerfileError, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_OCCURRENCES = 100  # bounded: a hostile line may hold as many as it has characters


class Fault(DockerfileError):
    """A DockerfileError that does not know its place yet; `near` is the text to look for."""

    def __init__(self, message: str, *, near: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.near = near


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint naming the known word closest to `word`, if one is close."""
    from difflib import get_close_matches

    by_lower = {name.lower(): name for name in known}
    # Bounded, because closeness is quadratic in the length of what the file gave us.
    close = get_close_matches(word.lower()[:40], by_lower, n=1)
    return f"did you mean {by_lower[close[0]]}?" if close else None


def place(error: DockerfileError, span: Span, lines: Sequence[str]) -> None:
    """Point `error` at the line and column of what it is about, or at all of `span`."""
    if error.span is None:
        near = error.near if isinstance(error, Fault) else ""
        error.span = _find(near, span, lines) or span


def _find(near: str, span: Span, lines: Sequence[str]) -> Span | None:
    if not near:
        return None
    inside = None
    for number in range(span.first, min(span.last, len(lines)) + 1):
        column, alone = _column(near, lines[number - 1])
        found = Span(span.file, number, number, column + 1)
        if alone:
            return found
        inside = inside or (found if column >= 0 else None)
    return inside


def _column(near: str, line: str) -> tuple[int, bool]:
    """Where `near` stands in `line` (-1: nowhere), and whether by itself or as a part of something else."""
    first = start = line.find(near)
    for _ in range(_OCCURRENCES):
        if start < 0:
            break
        if not (_joins(line[max(start - 1, 0) : start]) or _joins(line[start + len(near) : start + len(near) + 1])):
            return start, True
        start = line.find(near, start + 1)
    return first, False


def _joins(character: str) -> bool:
    """Whether what stands beside this character is a part of a longer name."""
    return character.isalnum() or character in ("_", "-")
