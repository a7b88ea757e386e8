"""Symbolic modes without s and t, one permission of one class at a time, as chmod(1) tells it."""

from __future__ import annotations

Clause = tuple[str, list[tuple[str, str]]]


def written(clauses: list[Clause]) -> str:
    return ",".join(who + "".join(sign + what for sign, what in actions) for who, actions in clauses)


def applied(clauses: list[Clause], bits: int, is_dir: bool) -> int:
    has = {(who, what): bool(bits >> place & 1) for who, what, place in _PLACES}
    for whom, actions in clauses:
        classes = set("ugo") if not whom or "a" in whom else set(whom)
        for sign, what in actions:
            _act(has, classes, sign, what, is_dir)
    return sum(1 << place for who, what, place in _PLACES if has[who, what])


def _act(has: dict[tuple[str, str], bool], classes: set[str], sign: str, what: str, is_dir: bool) -> None:
    before = dict(has)
    named = {letter for letter in "rwx" if letter in what or (what in tuple("ugo") and before[what, letter])}
    if "X" in what and (is_dir or any(before[who, "x"] for who in "ugo")):
        named.add("x")
    for who in classes:
        for letter in "rwx":
            if sign == "=" or letter in named:
                has[who, letter] = letter in named and sign != "-"


_PLACES = [(who, what, 8 - 3 * "ugo".index(who) - "rwx".index(what)) for who in "ugo" for what in "rwx"]
