"""Lines to nodes: comments, continuations, directives, heredoc bodies (dockerfile-language 1.1, 1.2, 1.5).

Knows lines and where instructions begin and end. Must not know what an instruction means, except
which of them may announce heredocs.

Text is what UTF-8 decoding with `surrogateescape` gives, so that heredoc bodies survive byte by byte.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile.arguments import json_array
from builder.dockerfile.blanks import BLANKS, SEPARATOR
from builder.dockerfile.directives import check_of_comment, read_directives
from builder.dockerfile.faults import place
from builder.dockerfile.flags import split_flags
from builder.dockerfile.heredoc import heredocs_of_line
from builder.dockerfile.nodes import Directives, Node
from builder.errors import DockerfileError, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.dockerfile.instructions import Heredoc
    from builder.dockerfile.nodes import Check

LONGEST_LINE = 65535
_HEREDOC_INSTRUCTIONS = frozenset({"add", "copy", "run"})


def decode(data: bytes, file: str) -> str:
    """The text of a file, its byte order mark dropped."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if len(line) > LONGEST_LINE:
            raise DockerfileError(f"line is longer than {LONGEST_LINE} bytes", span=Span(file, number, number))
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def read_nodes(text: str, file: str) -> tuple[Directives, tuple[Node, ...]]:
    """The directives and the instructions of a file, in order."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    directives, taken = read_directives(lines, file)
    return directives, tuple(_Reader(lines, taken, file, directives.escape).nodes())


class _Reader:
    """A place in the lines, moving down. `at` counts the lines that are read."""

    def __init__(self, lines: list[str], at: int, file: str, escape: str) -> None:
        self.lines = lines
        self.at = at
        self.file = file
        self.escape = escape
        mark = re.escape(escape)
        # An escaped escape character does not continue the line.
        self.continuation = re.compile(rf"(?:^|(?<=[^{mark}])){mark}[ \t]*\Z")

    def nodes(self) -> Iterator[Node]:
        comments: list[str] = []
        while self.at < len(self.lines):
            line = self.next_line().lstrip(BLANKS)
            if line.startswith("#") and line[1:].strip(BLANKS):
                comments.append(line[1:].strip(BLANKS))
                continue
            if line and not line.startswith("#") and (node := self.node(line, tuple(comments))):
                yield node
            comments = []

    def next_line(self) -> str:
        self.at += 1
        return self.lines[self.at - 1].rstrip("\r")

    def node(self, line: str, comments: tuple[str, ...]) -> Node | None:
        """The instruction that begins with `line`; None when nothing but continuations is there."""
        first = self.at
        joined, blank = self.joined(line)
        text = joined.strip(BLANKS)
        if not text:
            return None
        try:
            node = self.split(text, Span(self.file, first, self.at))
            bodies = self.bodies(node, first)
        except DockerfileError as error:
            place(error, Span(self.file, first, self.at), self.lines)
            raise
        return node._replace(
            span=Span(self.file, first, self.at),
            heredocs=bodies,
            comments=comments,
            check=_check(comments),
            blank_continuations=blank,
        )

    def joined(self, line: str) -> tuple[str, tuple[int, ...]]:
        """`line` and its continuations as one, and the numbers of the blank lines among them."""
        parts: list[str] = []
        blank: list[int] = []
        while True:
            mark = self.continuation.search(line)
            parts.append(line[: mark.start()] if mark else line)
            following = self.continued(blank) if mark else None
            if following is None:
                return "".join(parts), tuple(blank)
            line = following

    def continued(self, blank: list[int]) -> str | None:
        """The next line of a continued instruction: comments and blank lines are not part of it."""
        while self.at < len(self.lines):
            line = self.next_line()
            content = line.lstrip(BLANKS)
            if content and not content.startswith("#"):
                return line
            if not content:
                blank.append(self.at)
        return None

    def split(self, text: str, span: Span) -> Node:
        name, *more = SEPARATOR.split(text, maxsplit=1)
        flags, rest = split_flags(more[0], self.escape) if more else ((), "")
        return Node(span, text, name, flags, rest, (), (), None, self.escape)

    def bodies(self, node: Node, first: int) -> tuple[Heredoc, ...]:
        if "<<" not in node.rest or not self.takes_heredocs(node):
            return ()
        return tuple(self.body(heredoc, first) for heredoc in heredocs_of_line(node.text))

    def takes_heredocs(self, node: Node) -> bool:
        name = node.name.lower()
        if name == "onbuild":
            trigger = self.split(node.rest, node.span)
            return trigger.name.lower() != "onbuild" and self.takes_heredocs(trigger)
        return name in _HEREDOC_INSTRUCTIONS and json_array(node.rest) is None

    def body(self, heredoc: Heredoc, first: int) -> Heredoc:
        body: list[str] = []
        while self.at < len(self.lines):
            line = self.next_line()
            if (line.lstrip("\t") if heredoc.chomp else line) == heredoc.name:
                return heredoc._replace(body="".join(body))
            body.append(self.lines[self.at - 1] + "\n")
        raise DockerfileError(
            f"unterminated heredoc {heredoc.name}",
            span=Span(self.file, first, len(self.lines)),
            hint=f"a line that is exactly {heredoc.name} ends it",
        )


def _check(comments: tuple[str, ...]) -> Check | None:
    checks = [check for comment in comments if (check := check_of_comment(comment))]
    return checks[-1] if checks else None
