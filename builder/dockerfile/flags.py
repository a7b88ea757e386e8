"""Flags of an instruction: `--name=value`, between its name and its arguments (dockerfile-language 1.1)."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

from builder.dockerfile.blanks import BLANKS
from builder.dockerfile.faults import Fault, did_you_mean

Kind = Literal["bool", "string", "list"]


def split_flags(rest: str, escape: str) -> tuple[tuple[str, ...], str]:
    """The flag words, quotes and escapes removed, and what follows them. `--` alone ends them."""
    flags: list[str] = []
    position = 0
    while rest.startswith("--", position):
        match = _word(escape).match(rest, position)
        if not match:
            break
        position = match.end()
        flag = _unquoted(match["word"], escape)
        if flag == "--":
            break
        flags.append(flag)
    return tuple(flags), rest[position:].strip(BLANKS)


def _unquoted(word: str, escape: str) -> str:
    return re.compile(_token(escape), re.DOTALL).sub(lambda match: _value_of_token(match, escape), word)


def _token(escape: str) -> str:
    """An escaped character, or a quoted part: in both kinds of quotes the escape character works."""
    mark = re.escape(escape)
    quoted = (rf"{quote}(?:{mark}.|[^{quote}{mark}])*(?:{quote}|\Z)" for quote in "'\"")
    return "|".join((f"{mark}(?:.|\\Z)", *quoted))


def _value_of_token(match: re.Match[str], escape: str) -> str:
    token = match[0]
    if token[0] == escape:
        return token[1:]
    return re.sub(re.escape(escape) + "(.)", r"\1", token[1:].removesuffix(token[0]), flags=re.DOTALL)


@cache
def _word(escape: str) -> re.Pattern[str]:
    return re.compile(f"(?P<word>(?:{_token(escape)}|[^{BLANKS}])+)[{BLANKS}]*", re.DOTALL)


_BOOLEANS = {"true": True, "false": False}


class Flags:
    """The flags of one instruction, checked against those that it knows."""

    def __init__(self, instruction: str, words: tuple[str, ...], known: dict[str, Kind] | None = None) -> None:
        self._values: dict[str, list[str]] = {}
        for word in words:
            self._add(instruction, word, known or {})

    def _add(self, instruction: str, word: str, known: dict[str, Kind]) -> None:
        name, equals, value = word[2:].partition("=")
        if name not in known:
            raise Fault(
                f"unknown flag: --{name}",
                near=f"--{name}",
                hint=did_you_mean(name, known) or _known_flags(instruction, known),
            )
        if name in self._values and known[name] != "list":
            raise Fault(f"duplicate flag specified: --{name}", near=f"--{name}")
        if known[name] == "bool":
            _check_boolean(name, value if equals else "true")
            value = value if equals else "true"
        elif not equals:
            raise Fault(f"missing a value on flag: --{name}", near=f"--{name}", hint=f"--{name}=value")
        self._values.setdefault(name, []).append(value)

    def string(self, name: str) -> str | None:
        """The value, None when not given."""
        return self._values.get(name, [None])[0]

    def boolean(self, name: str) -> bool | None:
        """The value, None when not given."""
        value = self.string(name)
        return None if value is None else _BOOLEANS[value.lower()]

    def strings(self, name: str) -> tuple[str, ...]:
        return tuple(self._values.get(name, ()))


def _check_boolean(name: str, value: str) -> None:
    if value == "":
        raise Fault(f"missing a value on flag: --{name}", near=f"--{name}", hint="true or false")
    if value.lower() not in _BOOLEANS:
        raise Fault(f"expecting boolean value for flag --{name}, not: {value}", near=f"--{name}")


def _known_flags(instruction: str, known: dict[str, Kind]) -> str:
    if not known:
        return f"{instruction} has no flags"
    return f"{instruction} knows " + ", ".join(f"--{name}" for name in known)
