"""An Observer that turns what happens to ops into events."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from builder.errors import BuildError, Cancelled
from builder.events import StepCached, StepCancelled, StepFailed, StepFinished, StepLog, StepStarted, StepTransfer
from builder.graph import ops
from builder.graph.graph import Note
from builder.graph.ops import MergeOp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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

    def moved(self, key: str, blob: str, current: int, total: int) -> None:
        """Bytes of a blob that the op with this cache key needs have come."""
        self._moved(self._by_key[key], blob, current, total)

    @contextmanager
    def during(self, digest: str) -> Iterator[Callable[[str, int, int], None]]:
        """Work that is an op's and that no executor does; what is given is to be told what moves."""
        begin = time.monotonic()
        self.started(digest)
        try:
            yield partial(self._moved, digest)
        except Cancelled:
            self.cancelled(digest)
            raise
        except BuildError as error:
            error.span = error.span or self._note(digest).span
            self.failed(digest, time.monotonic() - begin, str(error))
            raise
        self.finished(digest, time.monotonic() - begin)

    def _moved(self, digest: str, blob: str, current: int, total: int) -> None:
        self._emit(StepTransfer(time.monotonic(), self._ids[digest], blob, current, total))

    def asked(self, number: int, name: str, begin: float, end: float, answer: str) -> None:
        """Told of what a registry was asked before the first step: no step of the user's."""
        id, step = f"resolve-{number}", f"[internal] load metadata for {name}"
        self._emit(StepStarted(begin, id, "", step, None))
        self._emit(StepLog(end, id, 1, answer))
        self._emit(StepFinished(end, id, "", step, end - begin))

    def _note(self, digest: str) -> Note:
        return self._graph.notes.get(digest) or Note("", type(self._graph[digest]).__name__, None)

    def _begin(self, digest: str, note: Note) -> tuple[float, str, str, str, Span | None, str, tuple[str, ...]]:
        inputs = (each for each in ops.inputs(self._graph[digest]) if each in self._graph.notes)
        named = tuple(f"sha256:{each}" for each in dict.fromkeys(inputs))
        return time.monotonic(), self._ids[digest], note.stage, note.step, note.span, f"sha256:{digest}", named
