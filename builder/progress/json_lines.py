"""One event a line, as a JSON object in ASCII. The names below are stable; new ones may be added.

    event          fields beside "event" and "time" (seconds of a monotonic clock)
    BuildStarted   dockerfile target steps tier
    StepStarted    id stage step span digest inputs
    StepLog        id stream line              stream: 1 standard output, 2 standard error
    StepTransfer   id digest current total    bytes of a layer that are here, and all; of each, the last says all
    StepCached     id stage step span digest inputs
    StepFinished   id stage step seconds
    StepFailed     id stage step seconds message
    StepCancelled  id stage step
    Notice         level message span          level: "warning" or "info"
    CheckWarning   rule description url detail span
    ImageReady     name digest size            name is "" for an untagged image; size in bytes
    Exported       kind destination digest
    BuildFinished  seconds cached executed
    Error          message hint span status    written by the command line, last, when a build fails;
                                               no "time"; of a failed RUN also: stage step exit_code tail

`span` is null or {"file", "first", "last", "column"}: lines counted from 1, column 0 for whole lines.
Bytes of output that are not UTF-8 appear as "?": the complete bytes are no business of a progress stream.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TextIO

from builder.errors import BuildError, Span, StepFailed

if TYPE_CHECKING:
    from builder.events import Event


class JsonLines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        fields = {name: _plain(value) for name, value in event._asdict().items()}
        self._stream.write(encode(type(event).__name__, fields))
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


def encode(name: str, fields: dict[str, object]) -> str:
    return json.dumps({"event": name, **fields}) + "\n"


def error_line(error: BuildError, status: int) -> str:
    """The last line of a failed build."""
    fields: dict[str, object] = {
        "message": _plain(error.message),
        "hint": _plain(error.hint),
        "span": _plain(error.span),
        "status": status,
    }
    if isinstance(error, StepFailed):
        tail = [_plain(line) for line in error.tail]
        fields |= {
            "stage": error.stage,
            "step": _plain(error.step),
            "exit_code": error.exit_code,
            "tail": tail,
        }
    return encode("Error", fields)


def _plain(value: object) -> object:
    if isinstance(value, Span):
        return value._asdict()
    if isinstance(value, str):
        # Lone surrogates (undecodable bytes) would give escapes that strict JSON readers refuse.
        return value.encode("utf-8", "replace").decode()
    return value
