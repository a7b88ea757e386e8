"""The layer between lines and instructions: what every instruction has in common.

    Node
      name      as written: `run`, `RUN`
      flags     `--mount=…` words, quotes removed
      rest      everything after the flags, continuations joined
      heredocs  bodies that followed
      comments  the comment block directly above
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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
    blank_continuations: tuple[int, ...]
