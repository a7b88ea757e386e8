"""The progress of `docker buildx build --progress=rawjson`: one `client.SolveStatus` of BuildKit a line, as JSON.

    {"vertexes": [{"digest", "inputs", "name", "started", "completed", "cached", "error"}],
     "statuses": [{"id", "vertex", "name", "total", "current", "timestamp", "started", "completed"}],
     "logs":     [{"vertex", "stream", "data", "timestamp"}],
     "warnings": [{"vertex", "level", "short", "detail", "url", "sourceInfo", "range"}]}

As Go writes it: a field with its zero value is absent, except for a status's id, current and timestamp
and a log's data and timestamp; bytes are base64, times RFC 3339 in UTC. A vertex comes again, whole, whenever
something of it changes. Reading the Dockerfile and each export is a vertex too; warnings belong to the first.
"""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64encode
from typing import TYPE_CHECKING, TextIO

from builder.events import (
    BuildStarted,
    CheckWarning,
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

if TYPE_CHECKING:
    from builder.errors import Span
    from builder.events import Event

CANCELLED = "context canceled"  # readers of the format know a cancelled vertex by these words
_EXPORTS = {
    "oci": "exporting to oci image format",
    "docker": "exporting to docker image format",
    "local": "exporting to client directory",
    "tar": "exporting to client tarball",
}
_ALWAYS = frozenset(("id", "current", "timestamp", "data"))


class RawJson:
    """`wall` is the time of day, in seconds since the epoch, at which the clock of the events stood at zero."""

    def __init__(self, stream: TextIO, wall: float | None = None) -> None:
        self._stream = stream
        self._wall = time.time() - time.monotonic() if wall is None else wall
        self._open: dict[str, dict[str, object]] = {}  # vertices by the id of their step
        self._definition: dict[str, object] = {}
        self._transfers: dict[str, str] = {}  # when each began

    def __call__(self, event: Event) -> None:
        status = self._status(event)
        if status:
            self._stream.write(json.dumps(status) + "\n")
            self._stream.flush()

    def close(self) -> None:
        self._stream.flush()

    def _status(self, event: Event) -> dict[str, object]:
        match event:
            case BuildStarted():
                return self._defined(event.time, event.dockerfile)
            case StepStarted() | StepCached():
                return {"vertexes": [self._begun(event)]}
            case StepFinished() | StepFailed() | StepCancelled():
                return {"vertexes": [self._ended(event)]}
            case StepLog():
                return {"logs": [self._log(self._vertex(event.id), event.stream, event.line, event.time)]}
            case StepTransfer():
                return {"statuses": [self._moved(event)]}
            case Notice() | CheckWarning():
                return self._told(event)
            case ImageReady() | Exported():
                return self._exported(event)
            case _:
                return {}

    def _begun(self, event: StepStarted | StepCached) -> dict[str, object]:
        vertex: dict[str, object] = {"digest": event.digest or made_up(event.id)}
        if event.inputs:
            vertex["inputs"] = list(event.inputs)
        vertex |= {"name": _plain(event.step), "started": self._when(event.time)}
        if isinstance(event, StepCached):
            vertex |= {"completed": self._when(event.time), "cached": True}
        self._open[event.id] = vertex
        return vertex

    def _ended(self, event: StepFinished | StepFailed | StepCancelled) -> dict[str, object]:
        begun = self._open.get(event.id, {"digest": made_up(event.id), "name": _plain(event.step)})
        vertex = begun | {"completed": self._when(event.time)}
        if isinstance(event, StepFailed):
            vertex["error"] = _plain(event.message)
        elif isinstance(event, StepCancelled):
            vertex["error"] = CANCELLED
        return vertex

    def _moved(self, event: StepTransfer) -> dict[str, object]:
        when, done = self._when(event.time), event.current == event.total
        status: dict[str, object] = {"id": event.digest, "vertex": self._vertex(event.id)}
        status |= {"name": "done" if done else "downloading", "total": event.total, "current": event.current}
        status |= {"timestamp": when, "started": self._transfers.setdefault(event.digest, when)}
        return status | ({"completed": when} if done else {})

    def _vertex(self, id: str) -> object:
        return self._open.get(id, {"digest": made_up(id)})["digest"]

    def _log(self, vertex: object, stream: int, line: str, at: float) -> dict[str, object]:
        text = _base64(f"{line}\n")
        return {"vertex": vertex, "stream": stream, "data": text, "timestamp": self._when(at)}

    def _defined(self, at: float, file: str) -> dict[str, object]:
        """The vertex that stands for reading the Dockerfile, told once."""
        if self._definition:
            return {}
        name = f"[internal] load build definition from {_plain(file)}" if file else "[internal] load build definition"
        when = self._when(at)
        self._definition = {"digest": made_up("definition"), "name": name, "started": when, "completed": when}
        return {"vertexes": [self._definition]}

    def _told(self, event: Notice | CheckWarning) -> dict[str, object]:
        status = self._defined(event.time, event.span.file if event.span else "")
        vertex = self._definition["digest"]
        if isinstance(event, CheckWarning):
            short = f"{event.rule}: {event.detail}"
            return status | {"warnings": [_warning(vertex, short, (event.description,), event.url, event.span)]}
        if event.level == "warning":
            return status | {"warnings": [_warning(vertex, event.message, (), "", event.span)]}
        return status | {"logs": [self._log(vertex, 2, event.message, event.time)]}

    def _exported(self, event: ImageReady | Exported) -> dict[str, object]:
        when = self._when(event.time)
        if isinstance(event, ImageReady):
            name, did = "exporting to image", [f"exporting manifest {event.digest}"]
            did += [f"naming to {event.name}"] if event.name else []
        else:
            name, did = _EXPORTS.get(event.kind, f"exporting to {event.kind}"), [f"writing {event.destination}"]
        vertex = made_up(f"{name} {' '.join(did)}")
        done = [_clean(_step_of_export(vertex, _plain(text), when)) for text in did]
        return {"vertexes": [{"digest": vertex, "name": name, "started": when, "completed": when}], "statuses": done}

    def _when(self, at: float) -> str:
        """RFC 3339 with nanoseconds, as Go writes it: without zeros at the end."""
        whole, billionths = divmod(round((self._wall + at) * 1_000_000) * 1000, 1_000_000_000)
        fraction = f".{billionths:09}".rstrip("0").rstrip(".")
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f"{fraction}Z"


def made_up(text: str) -> str:
    """The digest of a vertex that is no step with an op of its own."""
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _step_of_export(vertex: str, id: str, when: str) -> dict[str, object]:
    return {"id": id, "vertex": vertex, "current": 0, "timestamp": when, "started": when, "completed": when}


def _warning(vertex: object, short: str, detail: tuple[str, ...], url: str, span: Span | None) -> dict[str, object]:
    warning: dict[str, object] = {"vertex": vertex, "level": 1, "short": _base64(short)}
    warning |= {"detail": [_base64(line) for line in detail], "url": url}
    if span:
        first = _clean({"line": span.first, "character": max(0, span.column - 1)})
        warning |= {"sourceInfo": {"filename": _plain(span.file), "language": "Dockerfile"}}
        warning |= {"range": [{"start": first, "end": {"line": span.last}}]}
    return _clean(warning)


def _clean(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value or name in _ALWAYS}


def _base64(text: str) -> str:
    return b64encode(_plain(text).encode()).decode()


def _plain(text: str) -> str:
    # What is not UTF-8 cannot be said in JSON.
    return text.encode("utf-8", "replace").decode()
