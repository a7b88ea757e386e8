"""What the forms of `${name…}` make of a value (dockerfile-language 1.3)."""

from __future__ import annotations

from builder.dockerfile.faults import Fault
from builder.dockerfile.pattern import replace, strip_prefix, strip_suffix

__all__ = ["KNOWN", "choose", "replace", "strip"]

KNOWN = frozenset({":-", "-", ":+", "+", ":?", "?", "#", "%"})


def strip(value: str, modifier: str, word: str) -> str:
    """`#` and `%`, and their greedy forms, whose second sign is the first character of `word`."""
    longest = word.startswith(modifier)
    cut = strip_prefix if modifier == "#" else strip_suffix
    return cut(value, word[longest:], longest=longest)


def choose(name: str, modifier: str, word: str, value: str | None) -> str:
    """`-`, `+` and `?`: a colon before them makes an empty value count as none."""
    missing = value is None or (modifier[0] == ":" and value == "")
    match modifier[-1]:
        case "-":
            return word if missing else value or ""
        case "+":
            return "" if missing else word
        case _:
            if missing:
                state = "unset" if value is None else "empty"
                raise Fault(f"{name}: {word or f'is not allowed to be {state}'}", near=name)
            return value or ""
