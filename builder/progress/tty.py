"""A live view for terminals: finished steps scroll by, running ones are redrawn in place below.

rich, and the thread that it redraws from, are started by the first step that really runs: a build
that is all cache hits never pays for them, and the user namespace is entered before any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from builder.events import (
    CheckWarning,
    Event,
    Notice,
    StepCached,
    StepCancelled,
    StepFailed,
    StepFinished,
    StepLog,
    StepStarted,
    StepTransfer,
)
from builder.progress.picture import Running
from builder.progress.plain import sentence
from builder.progress.text import duration, one_line, printable

if TYPE_CHECKING:
    from rich.live import Live

# Each style twice: as the number of the escape sequence that we write, and as rich calls it.
_STYLES = {
    "done": ("32", "green"),
    "cached": ("36", "cyan"),
    "failed": ("1;31", "bold red"),
    "cancelled": ("33", "yellow"),
    "warning": ("33", "yellow"),
    "": ("", ""),
}


class Tty:
    def __init__(self, stream: TextIO, *, colour: bool = True) -> None:
        self._stream = stream
        self._colour = colour
        self._marks = _marks(stream)
        # Replaced, never changed in place: the redrawing thread reads it without a lock, because
        # taking one there, inside rich's own, would be a deadlock with a thread that prints.
        self._running: dict[str, Running] = {}
        self._live: Live | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, StepLog):
            self._heard(event)
        elif isinstance(event, StepTransfer):
            if step := self._running.get(event.id):
                self._running = {**self._running, event.id: step.brought(event.digest, event.current, event.total)}
        elif isinstance(event, StepStarted):
            self._running = {**self._running, event.id: Running(one_line(event.step), event.time)}
            self._start()
        else:
            self._scroll(*self._finished(event))

    def close(self) -> None:
        live, self._live, self._running = self._live, None, {}
        if live is not None:
            live.stop()
        self._stream.flush()

    def _heard(self, event: StepLog) -> None:
        step = self._running.get(event.id)
        if step is not None:
            line = printable(event.line.rstrip("\r").rpartition("\r")[2]).expandtabs(4)
            self._running = {**self._running, event.id: step.heard(line)}

    def _finished(self, event: Event) -> tuple[str, str]:
        """Style and text of the line that stays on the screen."""
        if isinstance(event, StepFinished | StepFailed | StepCancelled):
            self._running = {id: step for id, step in self._running.items() if id != event.id}
        done, failed, cancelled = self._marks
        match event:
            case StepCached():
                return "cached", f"{done}  cached {one_line(event.step)}"
            case StepFinished():
                return "done", f"{done} {duration(event.seconds):>7} {one_line(event.step)}"
            case StepFailed():
                name = f"{one_line(event.step)}: {one_line(event.message)}"
                return "failed", f"{failed} {duration(event.seconds):>7} {name}"
            case StepCancelled():
                return "cancelled", f"{cancelled}         {one_line(event.step)}: cancelled"
            case Notice() if event.level == "warning":
                return "warning", sentence(event)
            case CheckWarning():
                return "warning", sentence(event)
            case _:
                return "", sentence(event)

    def _scroll(self, style: str, text: str) -> None:
        if self._live is not None:
            from builder.progress.live import scroll

            scroll(self._live, text, _STYLES[style][1])
            return
        code = _STYLES[style][0] if self._colour else ""
        self._stream.write(f"\x1b[{code}m{text}\x1b[0m\n" if code else f"{text}\n")
        self._stream.flush()

    def _start(self) -> None:
        if self._live is None:
            from builder.progress.live import start

            self._live = start(self._stream, self._colour, lambda: tuple(self._running.values()))


def _marks(stream: TextIO) -> tuple[str, str, str]:
    """Marks for done, failed and cancelled, in what the terminal's encoding can say."""
    try:
        "✓✗│…".encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "+", "x", "-"
    return "✓", "✗", "–"
