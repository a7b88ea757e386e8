"""`.dockerignore` files and `--exclude` patterns (dockerfile-language 1.9, 1.11).

    parse_ignore(text, file)  ->  Ignore
    Ignore.excluded("a/b")               the last rule that matches the path or a parent of it decides
    Ignore.may_contain_included("a")     is it worth looking into this excluded directory?

Paths are relative to the context, separated by `/`, without a leading one.
"""

from __future__ import annotations

import posixpath
import re
from itertools import groupby
from typing import TYPE_CHECKING

from builder.dockerfile import globs
from builder.dockerfile.blanks import BLANKS
from builder.errors import DockerfileError, Span
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


_SPECIAL = re.compile(r"[*?\[\]\\!#]")


class _Rule(NamedTuple):
    pattern: str
    includes: bool


class Ignore:
    """An ordered list of rules; `!pattern` includes again what earlier ones excluded."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Raises DockerfileError, without a span, for a bad pattern."""
        rules = [_rule(pattern) for pattern in patterns if pattern.strip(BLANKS)]
        self._rules = rules
        # Last match wins: neighbours of one kind are one expression, tried from the end.
        self._groups = [(includes, _any_of(group)) for includes, group in groupby(rules[::-1], _includes)]
        self._inclusions = [rule.pattern.split("/") for rule in rules if rule.includes]
        self.patterns = tuple(rule.pattern for rule in rules)
        self.includes_again = bool(self._inclusions)

    def without(self, path: str) -> Ignore:
        """The same rules, and after them one that excludes exactly this path."""
        return Ignore([*self._written(), _SPECIAL.sub(r"\\\g<0>", path)])

    def unless_included(self, path: str) -> Ignore:
        """The same rules, and before them one that excludes exactly this path: they may include it again."""
        return Ignore([_SPECIAL.sub(r"\\\g<0>", path), *self._written()])

    def _written(self) -> list[str]:
        return [f"!{rule.pattern}" if rule.includes else rule.pattern for rule in self._rules]

    def groups(self) -> list[tuple[bool, list[str]]]:
        """Neighbouring rules of one kind, in the order written: whether they include, and their patterns."""
        return [(includes, [rule.pattern for rule in rules]) for includes, rules in groupby(self._rules, _includes)]

    def excluded(self, path: str) -> bool:
        return next((not includes for includes, regex in self._groups if regex.match(path)), False)

    def may_contain_included(self, directory: str) -> bool:
        """False only if no path below `directory` can match a `!` rule: it can then be skipped whole."""
        parts = directory.split("/")
        return any(_may_match_below(inclusion, parts) for inclusion in self._inclusions)


def _rule(pattern: str) -> _Rule:
    pattern = clean(pattern.strip(BLANKS))
    includes = pattern.startswith("!")
    pattern = pattern.removeprefix("!")
    if not pattern:
        raise DockerfileError('illegal exclusion pattern: "!"', hint="a pattern must follow the '!'")
    return _Rule(pattern, includes)


def _includes(rule: _Rule) -> bool:
    return rule.includes


def _any_of(rules: Iterable[_Rule]) -> re.Pattern[str]:
    """Matches what one of the rules matches, and everything below that."""
    expressions = "|".join(_regex(rule.pattern) for rule in rules)
    return re.compile(rf"(?:{expressions})(?:/.*)?\Z", re.DOTALL)


def _regex(pattern: str) -> str:
    globs.compile_glob(pattern)
    if globs.is_suffix(pattern):
        return ".*" + re.escape(pattern[2:])
    expression = ""
    position = 0
    while position < len(pattern):
        atom, position = _any_depth(pattern, position) or globs.next_atom(pattern, position)
        expression += "[^/]*" if atom == "*" else atom
    return expression


def _any_depth(pattern: str, position: int) -> tuple[str, int] | None:
    """`**`: at the end everything, elsewhere any number of components, none included."""
    if not pattern.startswith("**", position):
        return None
    position += 2
    position += pattern.startswith("/", position)
    return (".*" if position == len(pattern) else "(?:.*/)?"), position


def _may_match_below(inclusion: list[str], directory: list[str]) -> bool:
    """Component by component, until the rule ends or can no longer be told apart from "anything"."""
    for part, name in zip(inclusion, directory, strict=False):
        if "**" in part or "[" in part or "\\" in part:
            return True
        if not globs.match(part, name):
            return False
    return True


def parse_ignore(text: str, file: str) -> Ignore:
    """The rules of an ignore file; errors point to its lines."""
    lines = _patterns(text)
    for number, pattern in lines:
        try:
            Ignore((pattern,))
        except DockerfileError as error:
            error.span = Span(file, number, number)
            raise
    return Ignore(pattern for _, pattern in lines)


def read_patterns(text: str) -> list[str]:
    """The patterns of an ignore file in their normal form, comments and blank lines left out."""
    return [pattern for _, pattern in _patterns(text)]


def _patterns(text: str) -> list[tuple[int, str]]:
    lines = text.removeprefix("\ufeff").split("\n")
    return [
        (number, _normal(line.strip(BLANKS)))
        for number, line in enumerate(lines, 1)
        if line.strip(BLANKS) and not line.startswith("#")
    ]


def _normal(line: str) -> str:
    mark = "!" if line.startswith("!") else ""
    pattern = line.removeprefix("!").strip(BLANKS)
    if pattern:
        pattern = clean(pattern)
        pattern = pattern[1:] if len(pattern) > 1 and pattern.startswith("/") else pattern
    return mark + pattern


def clean(path: str) -> str:
    """The shortest equal path, as Go's `filepath.Clean` gives it."""
    shortest = posixpath.normpath(path)
    # POSIX lets exactly two leading slashes stand; Go does not.
    return shortest[1:] if shortest.startswith("//") else shortest
