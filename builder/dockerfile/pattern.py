"""The patterns of `${v#pattern}`, `${v%pattern}` and `${v/pattern/text}` (dockerfile-language 1.3).

`*` and `?` are wild, `\\*`, `\\?` and `\\\\` are themselves; nothing else is special, and any other
escape is an error. `\\}` and `\\/` only keep the character from ending the expansion.
"""

from __future__ import annotations

import re

from builder.dockerfile.faults import Fault


def strip_prefix(value: str, pattern: str, *, longest: bool) -> str:
    match = _compile(_atoms(pattern), longest=longest).match(value)
    return value[match.end() :] if match else value


def strip_suffix(value: str, pattern: str, *, longest: bool) -> str:
    match = _compile(_atoms(pattern)[::-1], longest=longest).match(value[::-1])
    return value[: len(value) - match.end()] if match else value


def replace(value: str, pattern: str, text: str, *, everywhere: bool) -> str:
    """Replace the first match, or every match, by `text`, which is literal."""
    previous_end = -1

    def substitute(match: re.Match[str]) -> str:
        nonlocal previous_end
        # An empty match that touches the match before it is the same match, not another one.
        again = match.start() == match.end() == previous_end
        previous_end = match.end()
        return "" if again else text

    return _compile(_atoms(pattern), longest=True).sub(substitute, value, count=0 if everywhere else 1)


def _atoms(pattern: str) -> list[str]:
    """One regular expression per pattern character; "*" stands for the star."""
    atoms = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            atoms.append(re.escape(_escaped(next(characters, ""), pattern)))
        elif character == "?":
            atoms.append(".")
        else:
            atoms.append("*" if character == "*" else re.escape(character))
    return atoms


def _escaped(character: str, pattern: str) -> str:
    if character and character in "*?\\}/":
        return character
    raise Fault(f"invalid escape '\\{character}' in pattern {pattern!r}", near=pattern)


def _compile(atoms: list[str], *, longest: bool) -> re.Pattern[str]:
    """Between two stars, the earliest place of the text is as good as any later one.

    Each such step is therefore atomic: without that, a pattern of many stars would take time that
    grows with the power of their number.
    """
    segments = [""]
    for atom in atoms:
        if atom == "*":
            segments.append("")
        else:
            segments[-1] += atom
    if len(segments) == 1:
        return re.compile(segments[0])
    first, *middle, last = segments
    star = ".*" if longest else ".*?"
    return re.compile(first + "".join(f"(?>.*?{text})" for text in middle) + star + last)
