"""Heredoc words: `<<EOF`, `<<-'EOF'`, `3<<EOF` (dockerfile-language 1.5). The lexer reads the bodies."""

from __future__ import annotations

import re

from builder.dockerfile.faults import Fault
from builder.dockerfile.instructions import Heredoc
from builder.dockerfile.words import Style, expand
from builder.errors import DockerfileError

# Possessive: white space may not be given back to the word, which would be tried at every blank of a long line.
_HEREDOC = re.compile(r"(\d*)<<(-?)[\t\n\f\r ]*+([^<]*+)", re.DOTALL)
# The word is data here, not something to expand: `<<$EOF` ends at a line `$EOF`.
_UNQUOTED = Style(keep_unset=True)
_QUOTED = Style(keep_unset=True, keep_quotes=True)
_AS_WRITTEN = Style(keep_unset=True, keep_quotes=True, keep_escapes=True)


def parse_heredoc(word: str) -> Heredoc | None:
    """The heredoc that `word` announces, its body empty; None when it is another word."""
    match = _HEREDOC.fullmatch(word)
    if not match:
        return None
    fd, dash, delimiter = match.groups()
    names = _words(delimiter, _UNQUOTED, word)
    if len(names) != 1:
        return None
    as_quoted = _words(delimiter, _QUOTED, word)[0]
    return Heredoc(
        name=names[0],
        body="",
        expand=_count_quotes(names[0]) == _count_quotes(as_quoted),
        chomp=dash == "-",
        fd=int(fd[:9] or 0),
    )


def heredocs_of_line(line: str) -> list[Heredoc]:
    """The heredocs that an instruction announces, in the order in which their bodies follow.

    A line that cannot be split into words has none: the shell is the judge of such a line.
    """
    try:
        words = expand(line, {}, _AS_WRITTEN).words
    except DockerfileError:
        return []
    return [heredoc for word in words if (heredoc := parse_heredoc(word))]


def _words(delimiter: str, style: Style, word: str) -> tuple[str, ...]:
    try:
        return expand(delimiter, {}, style).words
    except Fault as fault:
        fault.near = word
        raise


def _count_quotes(word: str) -> int:
    return word.count("'") + word.count('"')
