"""Ignore rules applied to whole directories at once, from the root of the context down.

    start(ignore)  ->  Place                 the root
    place.enter("a")  ->  Place              a directory in it
    place.flipped("b\0c\0")                 positions of the names whose fate is another than the directory's

It says what `Ignore.excluded` says path by path. Rules are taken apart at their slashes, and a place keeps of
each what can still matter below: in most directories nothing is left but one expression for all names.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from builder.dockerfile import globs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.dockerfile.ignore import Ignore

# The expression of one component of a path, without its anchors; None stands for any number of components.
_Part = str | None
_NAME = r"[^\0]*"


class Place(Protocol):
    """A directory as the rules see it."""

    excluded: bool
    dead: bool
    """Excluded, and so is everything below."""

    def enter(self, name: str) -> Place: ...

    def flipped(self, names: str) -> Iterable[int]:
        """Positions of the names that are excluded where the directory is not, or the other way round.

        Each of `names` ends with a NUL, as file names cannot.
        """
        ...


@lru_cache(maxsize=16)
def start(ignore: Ignore) -> Place:
    tails = []
    for group, (includes, patterns) in enumerate(ignore.groups()):
        for pattern in patterns:
            parts = split(pattern)
            if parts is None:
                return _Slow(ignore, "")
            tails.append((group, includes, parts))
    return _Fast({}, -1, False, _closed(tails))


def split(pattern: str) -> tuple[_Part, ...] | None:
    """The components of a rule; None when part of it may match a slash, so that it has none."""
    parts: list[_Part] = []
    part = ""
    position = 0
    if globs.is_suffix(pattern):
        parts, part, position = [None], _NAME, 2
    while position < len(pattern):
        if pattern.startswith("**", position):
            position += 2
            if position == len(pattern):
                # What follows a slash is below a path that matches already.
                return (*parts, part + _NAME)
            if part:
                return None
            position += pattern.startswith("/", position)
            parts.append(None)
            continue
        atom, position = globs.next_atom(pattern, position)
        if atom == "/":
            parts.append(part)
            part = ""
        elif atom in ("*", "[^/]"):
            part += _NAME if atom == "*" else r"[^\0]"
        elif re.match(atom, "/", re.DOTALL) or re.match(atom, "\0", re.DOTALL):
            return None
        else:
            part += atom
    return (*parts, part)


_Tail = tuple[int, bool, tuple[_Part, ...]]  # number of the group, whether it includes, what is left of a rule


def _closed(tails: Iterable[_Tail]) -> tuple[_Tail, ...]:
    """With what is left when `**` stands for nothing. Without doubles, in a fixed order."""
    found: dict[_Tail, None] = {}
    todo = list(reversed(list(tails)))
    while todo:
        group, includes, parts = tail = todo.pop()
        found[tail] = None
        if parts[0] is None:
            todo.append((group, includes, parts[1:]))
    return tuple(found)


class _Fast:
    """`decided` is the number of the last group that matches the directory or one above it; -1 for none."""

    def __init__(self, memo: dict[object, _Fast], decided: int, excluded: bool, tails: tuple[_Tail, ...]) -> None:
        self.excluded = excluded
        self.dead = excluded and not any(includes for _, includes, _ in tails)
        self._memo = memo
        self._decided = decided
        self._tails = tails
        last = [(group, includes, parts[0]) for group, includes, parts in tails if len(parts) == 1 and parts[0]]
        self._fates = {group: not includes for group, includes, _ in last}
        self._last = _expression((group, part) for group, _, part in last)
        self._flips = self._last if any(fate != excluded for fate in self._fates.values()) else None
        self._steps = _expression((0, parts[0]) for _, _, parts in tails if len(parts) > 1 and parts[0])
        self._usual: _Fast | None = None

    def flipped(self, names: str) -> Iterable[int]:
        if self._flips is None:
            return ()
        text = "\0" + names
        found = ((match.start(), self._group(match)) for match in self._flips.finditer(text))
        return [text.count("\0", 0, at) for at, group in found if self._fates[group] != self.excluded]

    def enter(self, name: str) -> _Fast:
        text = f"\0{name}\0"
        match = self._last.match(text) if self._last else None
        if match is None and not (self._steps and self._steps.match(text)):
            if self._usual is None:
                self._usual = self._next(self._decided, self.excluded, text)
            return self._usual
        if match is None:
            return self._next(self._decided, self.excluded, text)
        group = self._group(match)
        return self._next(group, self._fates[group], text)

    def _next(self, decided: int, excluded: bool, text: str) -> _Fast:
        tails = _closed(self._below(decided, text))
        key = (decided, excluded, tails)
        if key not in self._memo:
            self._memo[key] = _Fast(self._memo, decided, excluded, tails)
        return self._memo[key]

    def _below(self, decided: int, text: str) -> Iterable[_Tail]:
        for group, includes, parts in self._tails:
            if group <= decided or len(parts) == 1:
                continue
            if parts[0] is None:
                yield group, includes, parts
            elif re.match(rf"\0{parts[0]}\0", text):
                yield group, includes, parts[1:]

    def _group(self, match: re.Match[str]) -> int:
        return sorted(self._fates, reverse=True)[(match.lastindex or 1) - 1]


def _expression(parts: Iterable[tuple[int, str]]) -> re.Pattern[str] | None:
    """Matches a NUL and the name behind it, up to the next NUL; of several groups the last decides."""
    groups: dict[int, list[str]] = {}
    for group, part in parts:
        groups.setdefault(group, []).append(part)
    if not groups:
        return None
    choices = (f"((?:{'|'.join(dict.fromkeys(groups[group]))})(?=\\0))" for group in sorted(groups, reverse=True))
    return re.compile(rf"\0(?:{'|'.join(choices)})")


class _Slow:
    """For rules with a part that may match a slash: path by path."""

    def __init__(self, ignore: Ignore, path: str) -> None:
        self._ignore = ignore
        self._path = path
        self.excluded = bool(path) and ignore.excluded(path)
        self.dead = self.excluded and not ignore.may_contain_included(path)

    def enter(self, name: str) -> _Slow:
        return _Slow(self._ignore, self._join(name))

    def flipped(self, names: str) -> Iterable[int]:
        excluded = self._ignore.excluded
        return [at for at, name in enumerate(names.split("\0")[:-1]) if excluded(self._join(name)) != self.excluded]

    def _join(self, name: str) -> str:
        return f"{self._path}/{name}" if self._path else name
