"""The syntax tree in the classic notation `(instruction ["--flag"] "argument" …)`, one line an instruction.

Driven from the layer below the instructions: flags and arguments are split, but not understood.
"""

from __future__ import annotations

import re

from builder.dockerfile.arguments import json_array, json_or_list, key_values, split_list, split_words
from builder.dockerfile.lexer import decode, read_nodes
from builder.dockerfile.nodes import Node
from builder.errors import DockerfileError, Span

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
_UNPRINTABLE = re.compile(r'["\\\x00-\x1f\x7f]')
_LISTS = {"ADD", "COPY", "VOLUME"}
_COMMANDS = {"CMD", "ENTRYPOINT", "RUN", "SHELL"}


def classic_ast(data: bytes) -> str:
    """The tree of a whole file; raises DockerfileError as the parser does."""
    _, nodes = read_nodes(decode(data, "Dockerfile"), "Dockerfile")
    if not nodes:
        raise DockerfileError("file with no instructions", span=Span("Dockerfile", 1, 1))
    return "".join(f"{_tree(node)}\n" for node in nodes)


def _tree(node: Node) -> str:
    flags = [f"[{' '.join(map(_quote, node.flags))}]"] if node.flags else []
    return f"({' '.join([node.name.lower(), *flags, *_arguments(node)])})"


def _arguments(node: Node) -> list[str]:
    name = node.name.upper()
    if name == "ONBUILD":
        _, (trigger,) = read_nodes(node.rest, node.span.file)
        return [_tree(trigger)]
    return [_quote(argument) for argument in _strings(name, node.rest, node.escape)]


def _strings(name: str, rest: str, escape: str) -> list[str]:
    if not rest:
        return []
    if name in _LISTS:
        return list(json_or_list(rest))
    if name in _COMMANDS:
        return _command(rest)
    if name in ("EXPOSE", "FROM"):
        return list(split_list(rest))
    if name == "ARG":
        return split_words(rest, escape)
    if name in ("ENV", "LABEL"):
        pairs, legacy = key_values(rest, name, escape)
        return [part for key, value in pairs for part in (key, value, "" if legacy else "=")]
    if name == "HEALTHCHECK":
        kind, *command = rest.split(maxsplit=1)
        return [kind, *(_command(command[0]) if command else [])]
    return [rest]


def _command(rest: str) -> list[str]:
    array = json_array(rest)
    return [rest] if array is None else list(array)


def _quote(text: str) -> str:
    return '"' + _UNPRINTABLE.sub(lambda match: _ESCAPES.get(match[0]) or f"\\x{ord(match[0]):02x}", text) + '"'
