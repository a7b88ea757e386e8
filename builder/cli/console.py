"""The three streams and the environment of this process: what commands print to, and tests replace."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping


class Console(NamedTuple):
    stdout: TextIO
    stderr: TextIO
    environ: Mapping[str, str]

    def out(self, text: str) -> None:
        self.stdout.write(text)

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
    # A path or a line of output that is not UTF-8 must not turn into an error of ours.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
    return Console(sys.stdout, sys.stderr, os.environ)


def abandon_stdout() -> None:
    """After a broken pipe: lets the interpreter's own last flush go nowhere, instead of complaining."""
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), 1)
