"""Words as trees: how each is written, and what it means. Nothing is parsed here.

A tree is a list of nodes, each a tuple of a kind and its parts. Patterns are lists of "*", "?" and characters,
matched by trying every piece of the value.
"""

from __future__ import annotations

from typing import Any

Node = tuple[Any, ...]


class Refused(Exception):
    """`${v:?}` of what is not set."""


def written(nodes: list[Node]) -> str:
    return "".join(_written(*node) for node in nodes)


def _written(kind: str, *parts: Any) -> str:
    if kind == "plain":
        return str(parts[0])
    if kind == "escaped":
        return f"\\{parts[0]}"
    if kind == "single":
        return f"'{parts[0]}'"
    if kind == "double":
        return '"' + written(parts[0]) + '"'
    if kind == "bare":
        return f"${parts[0]}-"
    if kind == "default":
        return f"${{{parts[0]}{parts[1]}{written(parts[2])}}}"
    if kind == "strip":
        return f"${{{parts[0]}{parts[1]}{_pattern(parts[2])}}}"
    if kind == "replace":
        return f"${{{parts[0]}{parts[1]}{_pattern(parts[2])}/{written(parts[3])}}}"
    return f"${{{parts[0]}}}"


def _pattern(tokens: list[str]) -> str:
    return "".join(tokens)


def value(nodes: list[Node], env: dict[str, str]) -> str:
    return "".join(_value(env, *node) for node in nodes)


def _value(env: dict[str, str], kind: str, *parts: Any) -> str:
    if kind in ("plain", "escaped", "single"):
        return str(parts[0])
    if kind == "double":
        return value(parts[0], env)
    found = env.get(parts[0])
    if kind == "bare":
        return (found or "") + "-"
    if kind == "default":
        return _default(env, parts[0], parts[1], parts[2])
    if kind == "strip":
        return _strip(found or "", parts[1], parts[2])
    if kind == "replace":
        return _replace(found or "", parts[2], value(parts[3], env), parts[1] == "//")
    return found or ""


def _default(env: dict[str, str], name: str, operator: str, nodes: list[Node]) -> str:
    """The word is expanded whether it is used or not, and may be refused."""
    found, word = env.get(name), value(nodes, env)
    there = bool(found) if operator[0] == ":" else found is not None
    if operator[-1] == "+":
        return word if there else ""
    if operator[-1] == "?" and not there:
        raise Refused(name)
    return found or "" if there else word


def _strip(text: str, operator: str, tokens: list[str]) -> str:
    sizes = range(len(text) + 1) if len(operator) == 1 else range(len(text), -1, -1)
    for size in sizes:
        piece, rest = (
            (text[:size], text[size:]) if operator[0] == "#" else (text[-size or len(text) :], text[: -size or None])
        )
        if matches(tokens, piece):
            return rest
    return text


def _replace(text: str, tokens: list[str], new: str, every: bool) -> str:
    """The first place where anything matches, and there the longest."""
    for start in range(len(text)):
        for end in range(len(text), start, -1):
            if matches(tokens, text[start:end]):
                rest = text[end:]
                return text[:start] + new + (_replace(rest, tokens, new, every) if every else rest)
    return text


def matches(tokens: list[str], text: str) -> bool:
    if not tokens:
        return not text
    first, rest = tokens[0], tokens[1:]
    if first == "*":
        return any(matches(rest, text[skipped:]) for skipped in range(len(text) + 1))
    return bool(text) and (first == "?" or text[0] == first[-1]) and matches(rest, text[1:])
