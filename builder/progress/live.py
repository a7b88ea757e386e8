"""The redrawn part of a terminal, by rich. Imported by the first step that runs, never at start-up."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.text import Text

from builder.progress.picture import Running, picture

if TYPE_CHECKING:
    from collections.abc import Callable

_STYLES = {"step": "bold", "output": "dim", "more": "dim"}


class Screen(Console):
    """A console as large as its own terminal is now: rich asks only the standard streams, and COLUMNS."""

    @property  # type: ignore[misc]  # rich's setter has no place here
    def size(self) -> ConsoleDimensions:
        try:
            columns, rows = os.get_terminal_size(self.file.fileno())
        except (OSError, ValueError):
            columns, rows = 0, 0
        return ConsoleDimensions(columns or 80, rows or 24)


def start(stream: TextIO, colour: bool, running: Callable[[], tuple[Running, ...]]) -> Live:
    """Redraws what `running` returns, ten times a second, from a thread of its own, until stopped."""
    screen = Screen(file=stream, force_terminal=True, no_color=not colour, highlight=False, markup=False)

    def draw() -> Group:
        rows = picture(running(), time.monotonic(), screen.size.height)
        texts = (Text(row.text, _STYLES[row.style], no_wrap=True, overflow="ellipsis") for row in rows)
        return Group(*texts)

    live = Live(
        console=screen,
        refresh_per_second=10,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        get_renderable=draw,
    )
    live.start()
    return live


def scroll(live: Live, text: str, style: str) -> None:
    """A line that stays, above what is redrawn."""
    live.console.print(Text(text), style=style, soft_wrap=True)
