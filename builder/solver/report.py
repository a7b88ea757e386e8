"""An Observer that turns what happens to ops into events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from builder.events import StepCached, StepCancelled, StepFailed, StepFinished, StepLog, StepStarted
from builder.graph import ops
from builder.graph.graph import Note
from builder.graph.ops import MergeOp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.errors import Span
    from builder.events import Emit
    from builder.graph.graph import Graph


class Report:
    """Ops without a note are not shown. Ids are the numbers of `rbuild plan`, "#1" and on."""

    def __init__(self, graph: Graph, keys: Mapping[str, str], emit: Emit) -> None:
        self._graph = graph
        self._emit = emit
        self._ids = {digest: f"#{number}" for number, digest in enumerate(keys, 1)}
        self._by_key = {key: digest for digest, key in keys.items()}
        self._seen: set[str] = set()
        self.executed = 0
        self.hits = 0

    def cached(self, digest: str) -> None:
        """Told once an op, however often it is looked up."""
        note = self._graph.notes.get(digest)
        if note and digest not in self._seen:
            self._seen.add(digest)
            self.hits += 1
            self._emit(StepCached(*self._begin(digest, note)))

    def started(self, digest: str) -> None:
        if isinstance(self._graph[digest], MergeOp):
            return  # it stacks what others made: no step of the user's
        self._seen.add(digest)
        self.executed += 1
        note = self._note(digest)
        self._emit(StepStarted(*self._begin(digest, note)))

    def fetched(self, digest: str, begin: float, end: float, size: int) -> None:
        """Told of what came over the network before the first step."""
        if not self._graph.notes.get(digest):
            return
        note = self._note(digest)
        self._seen.add(digest)
        self.executed += 1
        self._emit(StepStarted(begin, self._ids[digest], note.stage, note.step, note.span))
        if size:
            self._emit(StepLog(end, self._ids[digest], 1, f"{size} bytes"))
        self._emit(StepFinished(end, self._ids[digest], note.stage, note.step, end - begin))

    def finished(self, digest: str, seconds: float) -> None:
        if isinstance(self._graph[digest], MergeOp):
            return
        note = self._note(digest)
        self._emit(StepFinished(time.monotonic(), self._ids[digest], note.stage, note.step, seconds))

    def failed(self, digest: str, seconds: float, message: str) -> None:
        note = self._note(digest)
        self._emit(StepFailed(time.monotonic(), self._ids[digest], note.stage, note.step, seconds, message))

    def cancelled(self, digest: str) -> None:
        note = self._note(digest)
        self._emit(StepCancelled(time.monotonic(), self._ids[digest], note.stage, note.step))

    def output(self, key: str, stream: int, line: bytes) -> None:
        """A line that the op with this cache key has printed."""
        digest = self._by_key[key]
        self._emit(StepLog(time.monotonic(), self._ids[digest], stream, line.decode("utf-8", "replace")))

    def _note(self, digest: str) -> Note:
        return self._graph.notes.get(digest) or Note("", type(self._graph[digest]).__name__, None)

    def _begin(self, digest: str, note: Note) -> tuple[float, str, str, str, Span | None, str, tuple[str, ...]]:
        inputs = (each for each in ops.inputs(self._graph[digest]) if each in self._graph.notes)
        named = tuple(f"sha256:{each}" for each in dict.fromkeys(inputs))
        return time.monotonic(), self._ids[digest], note.stage, note.step, note.span, f"sha256:{digest}", named
