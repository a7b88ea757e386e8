"""What a 401 asks for: the challenges of WWW-Authenticate (RFC 9110, 11.6.1), several in one header too.

Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull", Basic realm="x"
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 (of the grammar)
# Unquoted values should be tokens; addresses without quotes are seen, too.
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))', re.ASCII)
_SCHEME = re.compile(rf"({_TOKEN})(?=[\s,]|$)(?:[ \t]+[A-Za-z0-9._~+/-]+=*(?=[ \t]*(?:,|$)))?", re.ASCII)
_BETWEEN = re.compile(r"[\s,]*")
_FAULT = re.compile(r"[^,]*")


class Challenge(NamedTuple):
    """`scheme` and the names of `parameters` are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def challenges(header: str) -> tuple[Challenge, ...]:
    """In their order. What is malformed is left out; of a parameter given twice the first counts."""
    found: list[Challenge] = []
    parameters: dict[str, str] = {}
    position = _end(_BETWEEN, header, 0)
    while position < len(header):
        if found and (match := _PARAMETER.match(header, position)):
            name, quoted, plain = match.groups()
            parameters.setdefault(name.lower(), plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
            position = match.end()
        elif match := _SCHEME.match(header, position):
            parameters = {}
            found.append(Challenge(match[1].lower(), parameters))
            position = match.end()
        else:
            position = _end(_FAULT, header, position)
        position = _end(_BETWEEN, header, position)
    return tuple(found)


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position
