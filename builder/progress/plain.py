"""Complete output, a line at a time, each line beginning with the stage and step it belongs to.

    building Dockerfile: 3 steps, isolation userns
    [base 1/2] CACHED FROM golang:1.21-alpine
    [tools 1/1] FROM alpine
    [tools 1/1] 0.512 sha256:… 3.6 MB                      a layer that came from a registry, when it is here
    [base 2/2] RUN go build -o /bin/client ./cmd/client
    [base 2/2] 0.512 go: downloading github.com/…
    [base 2/2] DONE 3.2s
    warning: Dockerfile:3: …
    image docker.io/library/client:latest sha256:… 12.3 MB
    finished in 3.3s: 1 executed, 1 cached

The number before a line of output is the seconds since its step began. The prefix makes parallel
steps separable with grep. The last lines of a failing step come once more, at the end, with the error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from builder.events import (
    BuildFinished,
    BuildStarted,
    CheckWarning,
    Event,
    Exported,
    ImageReady,
    Notice,
    StepCached,
    StepCancelled,
    StepFailed,
    StepFinished,
    StepLog,
    StepStarted,
    StepTransfer,
)
from builder.progress.text import duration, instruction, label, lines, one_line, printable, size
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


class _Running(NamedTuple):
    label: str
    since: float


class Plain:
    def __init__(self, stream: TextIO, *, colour: bool = False) -> None:
        self._stream = stream
        self._colour = colour
        self._running: dict[str, _Running] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, StepLog):
            self._write(self._log(event))
            return
        if isinstance(event, StepTransfer):
            if event.current == event.total:
                self._write(self._log(StepLog(event.time, event.id, 1, sentence(event))))
            return
        if isinstance(event, StepStarted):
            self._running[event.id] = _Running(label(event.step, event.id), event.time)
        elif isinstance(event, StepFinished | StepFailed | StepCancelled):
            self._running.pop(event.id, None)
        self._write(sentence(event) + "\n")

    def close(self) -> None:
        self._stream.flush()

    def _log(self, event: StepLog) -> str:
        running = self._running.get(event.id, _Running(f"[#{event.id}]", event.time))
        prefix = f"{running.label} {event.time - running.since:.3f}"
        return "".join(
            f"{prefix} {line}\n" if line else f"{prefix}\n" for line in lines(event.line, colour=self._colour)
        )

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def sentence(event: Event) -> str:
    """One line that says what happened, without its newline."""
    return _SENTENCES[type(event)](event)


def _started(event: BuildStarted) -> str:
    target = f", target {event.target}" if event.target else ""
    tier = f", isolation {event.tier}" if event.tier else ""
    return f"building {printable(event.dockerfile)}{target}: {_count(event.steps, 'step')}{tier}"


def _step_started(event: StepStarted) -> str:
    return f"{label(event.step, event.id)} {one_line(instruction(event.step))}"


def _step_cached(event: StepCached) -> str:
    return f"{label(event.step, event.id)} CACHED {one_line(instruction(event.step))}"


def _step_finished(event: StepFinished) -> str:
    return f"{label(event.step, event.id)} DONE {duration(event.seconds)}"


def _step_failed(event: StepFailed) -> str:
    return f"{label(event.step, event.id)} FAILED {duration(event.seconds)}: {one_line(event.message)}"


def _step_cancelled(event: StepCancelled) -> str:
    return f"{label(event.step, event.id)} CANCELLED"


def _moved(event: StepTransfer) -> str:
    of = f"{size(event.current)} of " if event.current < event.total else ""
    return f"{printable(event.digest)} {of}{size(event.total)}"


def _notice(event: Notice) -> str:
    where = f"{event.span}: " if event.span else ""
    return f"{'note' if event.level == 'info' else event.level}: {where}{printable(event.message)}"


def _check(event: CheckWarning) -> str:
    where = f"{event.span}: " if event.span else ""
    return f"warning: {where}{event.rule}: {printable(event.detail)}"


def _image(event: ImageReady) -> str:
    name = f" {event.name}" if event.name else ""
    return f"image{name} {event.digest} {size(event.size)}"


def _exported(event: Exported) -> str:
    return f"exported {event.kind} to {printable(event.destination)}"


def _finished(event: BuildFinished) -> str:
    return f"finished in {duration(event.seconds)}: {event.executed} executed, {event.cached} cached"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_SENTENCES: Mapping[type, Callable[[Any], str]] = {
    BuildStarted: _started,
    StepStarted: _step_started,
    StepCached: _step_cached,
    StepFinished: _step_finished,
    StepFailed: _step_failed,
    StepCancelled: _step_cancelled,
    StepLog: lambda event: printable(event.line),
    StepTransfer: _moved,
    Notice: _notice,
    CheckWarning: _check,
    ImageReady: _image,
    Exported: _exported,
    BuildFinished: _finished,
}
