"""The layer between lines and instructions: what every instruction has in common.

| field | |
|---|---|
| name | as written: `run`, `RUN` |
| flags | the `--name=value` words, their quotes and escapes removed |
| rest | everything after the flags, continuations joined |
| heredocs | the bodies that followed |
| comments | the comment block directly above |
| check | that block's `# check=`, for this instruction only |
| escape | the escape character of the file |
| blank_continuations | numbers of the blank lines inside |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Heredoc
    from builder.errors import Span


class Check(NamedTuple):
    """A `# check=` directive (1.2): of the file, or of the one instruction below it."""

    skip: tuple[str, ...] = ()
    skip_all: bool = False
    error: bool = False
    experimental: tuple[str, ...] = ()
    experimental_all: bool = False


class Directives(NamedTuple):
    """The parser directives at the top of a file (1.2), None where not given."""

    escape: str = "\\"
    syntax: str | None = None
    check: Check | None = None


class Node(NamedTuple):
    span: Span
    text: str
    name: str
    flags: tuple[str, ...]
    rest: str
    heredocs: tuple[Heredoc, ...]
    comments: tuple[str, ...]
    check: Check | None
    escape: str = "\\"
    blank_continuations: tuple[int, ...] = ()
