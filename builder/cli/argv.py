"""Reads the words of one command strictly, the way Docker's own command line reads them.

    --x v   --x=v   -t v   -tv   -t=v   -qt v   --flag   --flag=false   --   and operands in between

An unknown option is an error with the nearest known name; a known one that is not implemented is
refused by name, with what to do instead. Nothing is ignored, nothing is abbreviated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cli.options import FLAG, PAIR, VALUE, Command, Option
from builder.errors import UsageError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

# What Go's strconv.ParseBool takes, so that lines written for docker keep their meaning.
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class Arguments(NamedTuple):
    """What the user wrote, checked against the table. Keys are long names without dashes."""

    values: dict[str, list[str]]
    operands: tuple[str, ...]

    def flag(self, name: str) -> bool:
        return self.values.get(name, ["false"])[-1] == "true"

    def unset(self, name: str) -> bool:
        """Whether a flag that is true by default was given as false."""
        return self.values.get(name, ["true"])[-1] == "false"

    def one(self, name: str) -> str | None:
        """The last value given; an empty one counts as not given, as in docker."""
        return self.values.get(name, [""])[-1] or None

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(self.values.get(name, ()))

    def pairs(self, name: str) -> tuple[tuple[str, str | None], ...]:
        split = (text.partition("=") for text in self.all(name))
        return tuple((key, value if equals else None) for key, equals, value in split)

    def operand(self, default: str) -> str:
        return self.operands[0] if self.operands else default


def read(command: Command, words: Sequence[str]) -> Arguments:
    """Raises UsageError at the first word that the command's table does not allow."""
    known = {name: option for option in command.options for name in option.names}
    values: dict[str, list[str]] = {}
    operands: list[str] = []
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if word == "--":
            operands += reversed(rest)
            rest.clear()
        elif word.startswith("--"):
            _long(known, word, rest, values)
        elif word.startswith("-") and word != "-":
            _short(known, word, rest, values)
        else:
            operands.append(word)
    if "help" not in values:
        _count(command, operands)
    return Arguments(values, tuple(operands))


def _long(known: dict[str, Option], word: str, rest: list[str], values: dict[str, list[str]]) -> None:
    name, equals, value = word.partition("=")
    option = _find(known, name)
    if option.kind == FLAG:
        _keep(values, option, name, value if equals else "true")
    elif option.implied and not equals and not (option.loose and _is_name(rest)):
        _keep(values, option, name, option.implied)
    else:
        _keep(values, option, name, value if equals else _next(name, option, rest))


def _short(known: dict[str, Option], word: str, rest: list[str], values: dict[str, list[str]]) -> None:
    letters = word[1:]
    while letters:
        name, letters = f"-{letters[0]}", letters[1:]
        option = _find(known, name, word)
        if option.kind != FLAG:
            value = letters.removeprefix("=") if letters else _next(name, option, rest)
            _keep(values, option, name, value)
            return
        if letters.startswith("="):
            _keep(values, option, name, letters[1:])
            return
        _keep(values, option, name, "true")


def _find(known: dict[str, Option], name: str, word: str = "") -> Option:
    option = known.get(name)
    if option is None:
        where = f" (in {word})" if word not in ("", name) else ""
        raise UsageError(f"no such option: {name}{where}", hint=_nearest(name, known))
    if not option.supported:
        from builder.cli.refusals import hint

        raise UsageError(f"{name} is not supported", hint=hint(option.name))
    return option


def _is_name(rest: list[str]) -> bool:
    """Whether a word follows that is neither an option nor written as a path."""
    return bool(rest) and not rest[-1].startswith(("-", ".", "/"))


def _next(name: str, option: Option, rest: list[str]) -> str:
    if not rest:
        raise UsageError(f"{name} needs a value: {name} {option.metavar}")
    return rest.pop()


def _keep(values: dict[str, list[str]], option: Option, name: str, value: str) -> None:
    if option.kind == FLAG:
        value = _boolean(name, value)
    elif option.choices and value and value not in option.choices:
        raise UsageError(f"{name} {value}: choose one of {', '.join(option.choices)}")
    elif option.kind == PAIR:
        _check_pair(option, name, value)
    if option.kind in (FLAG, VALUE):
        values[option.name] = [value]
    else:
        values.setdefault(option.name, []).append(value)


def _boolean(name: str, value: str) -> str:
    if value in _TRUE:
        return "true"
    if value in _FALSE:
        return "false"
    raise UsageError(f"{name}={value}: a flag is true or false")


def _check_pair(option: Option, name: str, value: str) -> None:
    key, equals, _ = value.partition("=")
    if not key or not (equals or option.bare):
        raise UsageError(f"{name} {value}: expected {option.metavar}")


def _count(command: Command, operands: list[str]) -> None:
    expected = f"rbuild {command.name} [OPTIONS] {command.operands}".rstrip()
    if len(operands) < command.least:
        raise UsageError(f"{command.name} needs {command.operands}", hint=f"usage: {expected}")
    if command.most is not None and len(operands) > command.most:
        raise UsageError(f"unexpected argument: {operands[command.most]}", hint=f"usage: {expected}")


def _nearest(name: str, known: dict[str, Option]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, [each for each in known if len(each) > 2], 1)
    return f"did you mean {near[0]}?" if near else "--help lists the options"
