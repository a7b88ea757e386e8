"""Errors as text: what happened and where, the guilty lines, what can be done.

last lines of [build-client 2/3] RUN go build:
  main.go:3: undefined: x
error: Dockerfile:7: RUN go build failed with exit code 1
  stage build-client, step [build-client 2/3] RUN go build, exit code 1
     5 | COPY . .
     6 |
 >>> 7 | RUN go build
hint: …
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from builder.errors import BuildError, Span, StepFailed
from builder.progress.text import one_line, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

AROUND = 2  # lines of context above and below
WIDEST = 200  # characters of a line: a whole program may be on one
LONGEST = 12  # lines of a long guilty instruction that are worth showing
_LARGEST_FILE = 4 << 20


def render(error: BuildError, *, colour: bool = False, context: str | None = None) -> str:
    """`context` is a directory in which the span's file is looked for too."""
    return "".join(f"{line}\n" for line in _lines(error, colour, context))


def of_exhaustion(error: Exception) -> BuildError | None:
    """The ways in which Python says that the machine, not the program, is at its end; else None."""
    if isinstance(error, MemoryError):
        return BuildError("out of memory", hint="free some memory, raise its limit (ulimit -v), or lower --jobs")
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return BuildError(
            "cannot start a thread",
            hint="raise the limits of processes and memory (ulimit -u, ulimit -v), or lower --jobs",
        )
    return None


def internal(error: Exception, *, colour: bool = False) -> str:
    words = f"internal error: {type(error).__name__}: {one_line(str(error))}"
    return f"{_red(words, colour)}\nhint: set RBUILD_DEBUG=1 for the traceback, and please report it\n"


def _lines(error: BuildError, colour: bool, context: str | None) -> Iterator[str]:
    from builder.dockerfile.gitref import redacted

    if isinstance(error, StepFailed):
        yield from _tail(error)
    where = f"{error.span}: " if error.span else ""
    message = "\n  ".join(printable(line) for line in redacted(error.message).splitlines())
    yield f"{_red('error:', colour)} {where}{message}"
    if isinstance(error, StepFailed):
        stage = f"stage {error.stage}, " if error.stage else ""
        yield f"  {stage}step {one_line(error.step)}, exit code {error.exit_code}"
    if error.span:
        yield from excerpt(error.span, context, error.source)
    if error.hint:
        yield "hint: " + "\n".join(printable(line) for line in error.hint.split("\n"))


def _tail(error: StepFailed) -> Iterator[str]:
    if error.tail:
        yield f"last lines of {one_line(error.step)}:"
        yield from (f"  {printable(line)}" for line in error.tail)


def excerpt(span: Span, context: str | None = None, source: bytes | None = None) -> Iterator[str]:
    """The lines of `span`, marked and numbered, with a few around them; nothing if they cannot be read.

    Credentials in addresses are left out: what is shown may be kept in the log of a CI job.
    """
    from builder.dockerfile.gitref import redacted

    lines = _split(source) if source is not None else _source(span.file, context)
    last = min(span.last, span.first + LONGEST - 1, len(lines))
    shown = range(max(1, span.first - AROUND), min(len(lines), last + AROUND) + 1)
    width = len(str(shown[-1])) if shown else 0
    for number in shown if span.first <= len(lines) else ():
        mark = ">>>" if span.first <= number <= last else "   "
        yield f" {mark} {number:>{width}} | {_short(printable(redacted(lines[number - 1])))}".rstrip()
        if span.column and number == span.first:
            yield from _caret(redacted(lines[number - 1][: span.column - 1]), " " * (width + 5))


def _caret(before: str, margin: str) -> Iterator[str]:
    """Points at the column, below the line; tabs stay tabs, so that it stands right on any terminal."""
    blank = "".join(character if character == "\t" else " " for character in printable(before))
    if len(blank) < WIDEST:
        yield f"{margin} | {blank}^"


def _short(line: str) -> str:
    return line if len(line) <= WIDEST else f"{line[:WIDEST]}…"


def _source(file: str, context: str | None) -> list[str]:
    for path in (file, *([os.path.join(context, file)] if context else [])):
        try:
            text = _read(path)
        except (OSError, ValueError):
            continue
        if text:
            return _split(text)
    return []


def _split(source: bytes) -> list[str]:
    if not source:
        return []
    text = source.decode("utf-8", "replace")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").removesuffix("\n").split("\n")


def _read(path: str) -> bytes:
    # A pipe can be read once, and has been: opening it must not wait for another writer.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as source:
        regular = stat.S_ISREG(os.fstat(source.fileno()).st_mode)
        return source.read(_LARGEST_FILE) if regular else b""


def _red(text: str, colour: bool) -> str:
    return f"\x1b[1;31m{text}\x1b[0m" if colour else text
