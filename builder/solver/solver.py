"""Solves a graph: results for the wanted ops, doing only the work that nobody has done before.

look up ──► walk back from the wanted ops, stop at every hit
run     ──► ops whose inputs are ready run at once, `jobs` at a time
fail    ──► the first failure cancels the rest; finished results stay in the cache
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic

from builder.errors import Cancelled as BuildCancelled
from builder.graph import ops
from builder.graph.graph import Graph, Note
from builder.solver.protocols import Executor, Observer, R

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from builder.events import Flag


class Solver(Generic[R]):
    """One build's solver. `keys` come from `keys.all_keys`; results are remembered between calls of `solve`."""

    def __init__(
        self,
        graph: Graph,
        keys: Mapping[str, str],
        executor: Executor[R],
        observer: Observer,
        cancelled: Flag,
        jobs: int,
    ) -> None:
        self._graph = graph
        self._keys = keys
        self._executor = executor
        self._observer = observer
        self._stop = _Stop(cancelled)
        self._jobs = jobs
        self._results: dict[str, R] = {}

    def solve(self, wanted: Iterable[str]) -> Mapping[str, R]:
        """Results by op digest; holds at least the wanted ones. Raises the first BuildError of a step."""
        wanted = list(wanted)
        missing = self._look_up(wanted)
        if missing:
            self._run(missing)
        return self._results

    def _look_up(self, wanted: Sequence[str]) -> list[str]:
        """Load what the cache has, bases before what is built on them; what has to run, in topological order."""
        missing: set[str] = set()
        for digest in self._graph.order(wanted):
            if digest not in self._results and not self._load(digest, missing):
                missing.add(digest)
        needed = self._needed(wanted, missing)
        return [digest for digest in self._graph.order(wanted) if digest in needed]

    def _load(self, digest: str, missing: set[str]) -> bool:
        op = self._graph[digest]
        parents = ops.inputs(op)
        if any(parent in missing for parent in parents[:1]):
            return False  # a result is a change to its root: without the root there is nothing to load
        inputs = [self._results[parent] for parent in parents if parent in self._results]
        result = self._executor.load(op, self._keys[digest], inputs)
        if result is None:
            return False
        self._results[digest] = result
        self._observer.cached(digest)
        return True

    def _needed(self, wanted: Iterable[str], missing: set[str]) -> set[str]:
        needed: set[str] = set()
        todo = [digest for digest in wanted if digest in missing]
        while todo:
            digest = todo.pop()
            if digest not in needed:
                needed.add(digest)
                todo += [parent for parent in ops.inputs(self._graph[digest]) if parent in missing]
        return needed

    def _run(self, needed: Sequence[str]) -> None:
        from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

        order = _Order(self._graph, needed)
        running: dict[Future[R], str] = {}
        failure: BaseException | None = None
        with ThreadPoolExecutor(self._jobs, thread_name_prefix="step") as pool:
            while True:
                if failure is None:
                    running.update({pool.submit(self._step, digest): digest for digest in order.take_ready()})
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    digest = running.pop(future)
                    failure = _worse(failure, self._settle(digest, future, order))
        if failure is not None:
            raise failure

    def _settle(self, digest: str, future: Future[R], order: _Order) -> BaseException | None:
        error = future.exception()
        if error is None:
            self._results[digest] = future.result()
            order.done(digest)
        else:
            self._stop.raised = True
        return error

    def _step(self, digest: str) -> R:
        op = self._graph[digest]
        note = self._graph.notes.get(digest) or Note("", type(op).__name__, None)
        inputs = [self._results[parent] for parent in ops.inputs(op)]
        if self._stop.is_set():
            raise BuildCancelled("the build was stopped")
        begin = time.monotonic()
        self._observer.started(digest)
        try:
            result = self._executor.execute(op, self._keys[digest], note, inputs, self._stop)
        except BuildCancelled:
            self._observer.cancelled(digest)
            raise
        except BaseException as error:
            self._observer.failed(digest, time.monotonic() - begin, str(error))
            raise
        self._observer.finished(digest, time.monotonic() - begin)
        return result


class _Stop:
    """Set when the user stops the build or when a step has failed."""

    def __init__(self, user: Flag) -> None:
        self._user = user
        self.raised = False

    def is_set(self) -> bool:
        return self.raised or self._user.is_set()


class _Order:
    """Hands out ops whose inputs are done. Linear in ops and edges, whatever the shape of the graph."""

    def __init__(self, graph: Graph, needed: Sequence[str]) -> None:
        wanted = set(needed)
        self._open = {digest: {p for p in ops.inputs(graph[digest]) if p in wanted} for digest in needed}
        self._users: dict[str, list[str]] = {}
        for digest, parents in self._open.items():
            for parent in parents:
                self._users.setdefault(parent, []).append(digest)
        self._ready = [digest for digest in needed if not self._open[digest]]

    def take_ready(self) -> list[str]:
        ready, self._ready = self._ready, []
        return ready

    def done(self, digest: str) -> None:
        for user in self._users.get(digest, ()):
            self._open[user].discard(digest)
            if not self._open[user]:
                self._ready.append(user)


def _worse(first: BaseException | None, second: BaseException | None) -> BaseException | None:
    """The error to report: the earliest that is not merely the cancellation it caused."""
    if first is None or (isinstance(first, BuildCancelled) and second is not None):
        return second
    return first
