"""Shell patterns of one path, as Go's `filepath.Match` reads them: `*`, `?`, `[a-z]`, `[^x]`, `\\c`.

`*` and `?` never match `/`. COPY and ADD sources are such patterns (1.9), and ignore rules are made of
the same parts (1.11).
"""

from __future__ import annotations

import re
from functools import lru_cache

from builder.dockerfile.faults import Fault

WILDCARDS = re.compile(r"[*?\[\\]")


def has_wildcards(pattern: str) -> bool:
    """Whether `pattern` can match anything but itself."""
    return bool(WILDCARDS.search(pattern))


def is_suffix(pattern: str) -> bool:
    """`**.txt` is "ends with .txt" in ignore rules: the reference does not ask for a whole component here."""
    return pattern.startswith("**") and not has_wildcards(pattern[2:]) and pattern[2:3] not in ("", "/")


def match(pattern: str, name: str) -> bool:
    """Whether all of `name` matches; raises DockerfileError, without a span, for a bad pattern."""
    return bool(compile_glob(pattern).fullmatch(name))


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """Between two stars the earliest match is taken for good, so that time does not explode."""
    segments = [""]
    position = 0
    while position < len(pattern):
        atom, position = next_atom(pattern, position)
        if atom == "*":
            segments.append("")
        else:
            segments[-1] += atom
    first, *middle = segments
    last = "[^/]*" + middle.pop() if middle else ""
    return re.compile(first + "".join(f"(?>[^/]*?{text})" for text in middle) + last, re.DOTALL)


def next_atom(pattern: str, position: int) -> tuple[str, int]:
    """The regular expression of the part at `position` ("*" for a star), and where the next one is."""
    character = pattern[position]
    if character == "*":
        return "*", position + 1
    if character == "?":
        return "[^/]", position + 1
    if character == "[":
        return _character_class(pattern, position)
    if character == "\\":
        escaped, position = _literal(pattern, position)
        return re.escape(escaped), position
    return re.escape(character), position + 1


def _character_class(pattern: str, start: int) -> tuple[str, int]:
    position = start + 1
    negated = pattern.startswith("^", position)
    position += negated
    ranges: list[str] = []
    while not ranges or not pattern.startswith("]", position):
        low, position = _member(pattern, position)
        high = low
        if pattern.startswith("-", position):
            high, position = _member(pattern, position + 1)
        # A range that runs backwards is valid, and holds nothing.
        ranges.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")
    return _one_of("".join(ranges), negated=negated), position + 1


def _one_of(ranges: str, *, negated: bool) -> str:
    if not ranges:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{ranges}]"


def _member(pattern: str, position: int) -> tuple[str, int]:
    """One end of a range. `-` and `]` must be escaped."""
    if pattern[position : position + 1] in ("", "-", "]"):
        raise _bad(pattern)
    member, position = _literal(pattern, position)
    if position == len(pattern):
        raise _bad(pattern)
    return member, position


def _literal(pattern: str, position: int) -> tuple[str, int]:
    if pattern[position] == "\\":
        position += 1
        if position == len(pattern):
            raise _bad(pattern)
    return pattern[position], position + 1


def _bad(pattern: str) -> Fault:
    return Fault(f"syntax error in pattern {pattern!r}", near=pattern)
