"""The three streams and the environment of this process: what commands print to, and tests replace."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


_STDOUT = "cannot write standard output"


class Console(NamedTuple):
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str]

    def out(self, text: str) -> None:
        """OSError names standard output."""
        try:
            self.stdout.write(text)
        except OSError as error:
            error.filename = _STDOUT
            raise

    def flush(self) -> None:
        """OSError names standard output."""
        try:
            self.stdout.flush()
        except OSError as error:
            error.filename = _STDOUT
            raise

    def err(self, text: str) -> None:
        """Never fails: there is nobody left to tell."""
        try:
            self.stderr.write(text)
            self.stderr.flush()
        except OSError:
            pass

    @property
    def colour(self) -> bool:
        """Whether standard error shows colours (no-color.org: any non-empty NO_COLOR forbids them)."""
        return self.stderr.isatty() and not self.environ.get("NO_COLOR") and self.term not in ("", "dumb")

    @property
    def term(self) -> str:
        return self.environ.get("TERM", "")

    @property
    def debug(self) -> bool:
        return self.environ.get("RBUILD_DEBUG", "") not in ("", "0")


def of_process() -> Console:
    _open_missing_descriptors()
    if sys.stdin is None:
        sys.stdin = _nothing()
    # A path or a line of output that is not UTF-8 must not turn into an error of ours.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
    return Console(sys.stdout or _nowhere(), sys.stderr or _nowhere(), os.environ)


def _open_missing_descriptors() -> None:
    """Started with 0, 1 or 2 closed (`>&-`), a file of the store would get that number, and our words."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _nothing() -> TextIO:
    return open(os.devnull, encoding="utf-8")


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def abandon(descriptor: int) -> None:
    """Lets the interpreter's own last flush of standard output or error go nowhere, instead of failing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), descriptor)
