"""The printed syntax tree of a Dockerfile: `rbuild parse`, and golden files.

    Dockerfile:3-4 COPY
      from_ "build"
      sources "/bin/app" "/etc/app.conf"
      dest "/"

Only what says something is printed: no absent option, no empty list.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile.instructions import Device, Heredoc, MountSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.dockerfile.instructions import Dockerfile, Instruction
    from builder.dockerfile.nodes import Check

_UNPRINTABLE = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')
_SAID_EITHER_WAY = ("keep_git_dir", "unpack")  # absent is None: False was said
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def dump(dockerfile: Dockerfile) -> str:
    """One block an instruction; equal trees give equal text."""
    blocks = ["".join(f"{line}\n" for line in _directives(dockerfile))]
    for instruction, node in zip(dockerfile.instructions, dockerfile.nodes, strict=True):
        check = [f"  # check={_check(node.check)}"] if node.check else []
        blocks.append("".join(f"{line}\n" for line in [*_instruction(instruction), *check]))
    return "".join(blocks)


def _directives(dockerfile: Dockerfile) -> Iterator[str]:
    directives = dockerfile.directives
    if directives.syntax is not None:
        yield f"# syntax={printable(directives.syntax)}"
    if directives.escape != "\\":
        yield f"# escape={directives.escape}"
    if directives.check:
        yield f"# check={_check(directives.check)}"


def _check(check: Check) -> str:
    parts = [
        ("skip", "all" if check.skip_all else ",".join(check.skip)),
        ("error", "true" if check.error else ""),
        ("experimental", "all" if check.experimental_all else ",".join(check.experimental)),
    ]
    return printable(";".join(f"{key}={value}" for key, value in parts if value))


def _instruction(instruction: Instruction) -> Iterator[str]:
    span = instruction.span
    lines = f"{span.first}-{span.last}" if span.last != span.first else f"{span.first}"
    yield f"{printable(span.file)}:{lines} {type(instruction).__name__.upper()}"
    for name, value in zip(instruction._fields[2:], instruction[2:], strict=True):
        yield from _field(name, value)


def _field(name: str, value: object) -> Iterator[str]:
    if value is True:
        yield f"  {name}"
    elif value is False and name in _SAID_EITHER_WAY:
        yield f"  {name} false"
    elif isinstance(value, int) and value:
        yield f"  {name} {value}"
    elif isinstance(value, str):
        yield f"  {name} {quote(value)}"
    elif isinstance(value, Heredoc):
        yield f"  {name} <<{printable(value.name)}"
    elif isinstance(value, tuple):
        yield from _items(name, value)


def _items(name: str, items: tuple[object, ...]) -> Iterator[str]:
    strings = [quote(item) for item in items if isinstance(item, str)]
    if strings:
        yield f"  {name} {' '.join(strings)}"
    for item in items:
        match item:
            case Heredoc():
                yield from _heredoc(item)
            case MountSpec():
                yield f"  mount {' '.join(_pair(*option) for option in item.options)}"
            case Device():
                yield f"  device {quote(item.name)}{' required' if item.required else ''}"
            case (str() as key, str() | None as value):
                yield f"  {_pair(key, value)}"


def _pair(key: str, value: str | None) -> str:
    return printable(key) if value is None else f"{printable(key)}={quote(value)}"


def _heredoc(heredoc: Heredoc) -> Iterator[str]:
    notes = [f"fd {heredoc.fd}"] if heredoc.fd else []
    notes += ["verbatim"] if not heredoc.expand else []
    notes += ["without leading tabs"] if heredoc.chomp else []
    yield f"  <<{printable(heredoc.name)}" + "".join(f" ({note})" for note in notes)
    for line in heredoc.body.split("\n")[:-1]:
        yield f"    | {printable(line)}" if line else "    |"


def printable(text: str) -> str:
    """`text` without quotes around it, still on one line and valid UTF-8."""
    return _UNPRINTABLE.sub(_visible, text)


def quote(text: str) -> str:
    """`text` between double quotes, on one line, whatever it holds."""
    return f'"{_UNPRINTABLE.sub(_escaped, text)}"'


def _escaped(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or _code(match[0])


def _visible(match: re.Match[str]) -> str:
    return match[0] if match[0] in '"\\\t' else _escaped(match)


def _code(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        # A byte that is not UTF-8, as it came in.
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
