"""Word expansion with the place of the instruction in its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile.words import process_body, process_word, process_words
from builder.errors import DockerfileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.errors import Span


def expand(text: str, scope: Mapping[str, str], escape: str, span: Span) -> str:
    """Variables and quotes of one word."""
    try:
        return process_word(text, scope, escape)
    except DockerfileError as error:
        raise _placed(error, text, span) from error


def expand_words(text: str, scope: Mapping[str, str], escape: str, span: Span) -> list[str]:
    """The same, split into words where unquoted blanks stand after expansion."""
    try:
        return process_words(text, scope, escape)
    except DockerfileError as error:
        raise _placed(error, text, span) from error


def expand_body(text: str, scope: Mapping[str, str], span: Span) -> str:
    """The body of an unquoted heredoc of COPY or ADD."""
    try:
        return process_body(text, scope)
    except DockerfileError as error:
        raise _placed(error, "the heredoc", span) from error


def _placed(error: DockerfileError, text: str, span: Span) -> DockerfileError:
    message = error.message if text in error.message else f"{error.message} (in {text!r})"
    return DockerfileError(message, span=error.span or span, hint=error.hint)
