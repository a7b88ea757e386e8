"""Path patterns, matched character by character: slow, plain, and with no regular expression.

Globs of one path (`*` and `?` never match a slash), and ignore rules made of whole components.
"""

from __future__ import annotations


def glob(pattern: str, name: str) -> bool:
    """`*`, `?` and ordinary characters."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return glob(pattern[1:], name) or (name[:1] not in ("", "/") and glob(pattern, name[1:]))
    if pattern[0] == "?":
        return name[:1] not in ("", "/") and glob(pattern[1:], name[1:])
    return name[:1] == pattern[0] and glob(pattern[1:], name[1:])


def excluded(rules: list[tuple[bool, list[str]]], path: list[str]) -> bool:
    """Whether the last rule that matches `path`, or a directory above it, excludes it; (includes, components)."""
    answer = False
    for includes, components in rules:
        if any(_components(components, path[:depth]) for depth in range(1, len(path) + 1)):
            answer = not includes
    return answer


def _components(pattern: list[str], path: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(path)
        return _components(pattern[1:], path) or (bool(path) and _components(pattern, path[1:]))
    return bool(path) and glob(pattern[0], path[0]) and _components(pattern[1:], path[1:])
