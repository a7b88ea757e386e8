"""`--chmod`: octal or symbolic, as chmod(1) reads them."""

from __future__ import annotations

import re

from builder.errors import BuildError

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)\Z")
_ACTION = re.compile(r"([-+=])([ugo](?![rwxXst])|[rwxXst]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


class Mode:
    """A parsed --chmod. `octal` tells that it also applies to parent directories made on the way."""

    def __init__(self, text: str) -> None:
        self.octal = bool(re.fullmatch(r"[0-7]{1,5}", text)) and int(text, 8) <= 0o7777
        self._value = int(text, 8) if self.octal else 0
        self._clauses = () if self.octal else tuple(_clause(part, text) for part in text.split(","))

    def apply(self, bits: int, is_dir: bool) -> int:
        """New permission bits (07777) for a file or directory that has `bits`."""
        if self.octal:
            return self._value
        for who, actions in self._clauses:
            for operator, permissions in actions:
                bits = _change(bits, is_dir, who, operator, permissions)
        return bits


def _clause(part: str, text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    match = _CLAUSE.match(part)
    if not match:
        raise BuildError(
            f"invalid chmod parameter: {text!r}",
            hint="give an octal number from 0 to 7777, or a list such as u=rwX,go=rX",
        )
    actions = tuple((found[1], found[2]) for found in _ACTION.finditer(match[2]))
    return match[1].replace("a", "ugo") or "ugo", actions


def _change(bits: int, is_dir: bool, who: str, operator: str, permissions: str) -> int:
    mask = value = 0
    for letter in dict.fromkeys(who):
        mask |= 7 << _SHIFT[letter]
        value |= _permissions(bits, is_dir, permissions) << _SHIFT[letter]
    special = _special(who, permissions)
    if operator == "+":
        return bits | value | special
    if operator == "-":
        return bits & ~(value | special)
    kept = bits & ~mask & ~_special(who, "st")
    return kept | value | special


def _permissions(bits: int, is_dir: bool, permissions: str) -> int:
    if permissions in _SHIFT:
        return bits >> _SHIFT[permissions] & 7
    value = 0
    for letter in permissions:
        value |= _BITS.get(letter, 0)
    if "X" in permissions and (is_dir or bits & 0o111):
        value |= 1
    return value


def _special(who: str, permissions: str) -> int:
    bits = 0
    if "s" in permissions:
        bits |= (0o4000 if "u" in who else 0) | (0o2000 if "g" in who else 0)
    if "t" in permissions and "o" in who:
        bits |= 0o1000
    return bits
