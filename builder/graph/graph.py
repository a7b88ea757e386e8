"""Ops by digest, with notes beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.graph import ops
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from builder.errors import Span
    from builder.graph.ops import Op


class Note(NamedTuple):
    """How an op is shown to the user. Never hashed."""

    stage: str
    step: str
    span: Span | None


class Graph:
    """Immutable. Every input of an op is in the graph; the order of insertion is a topological order."""

    def __init__(self, by_digest: Mapping[str, Op], notes: Mapping[str, Note]) -> None:
        self.ops = by_digest
        self.notes = notes

    def __getitem__(self, digest: str) -> Op:
        return self.ops[digest]

    def __len__(self) -> int:
        return len(self.ops)

    def order(self, targets: Iterable[str]) -> Iterator[str]:
        """What the targets need, inputs before their users."""
        needed = reachable(self.ops, targets)
        return (digest for digest in self.ops if digest in needed)


class GraphBuilder:
    """Collects ops while a Dockerfile is lowered. Adding the same op twice gives one op."""

    def __init__(self) -> None:
        self._ops: dict[str, Op] = {}
        self._notes: dict[str, Note] = {}

    def add(self, op: Op, note: Note | None = None) -> str:
        """The op's digest. The first note of an op stays."""
        digest = ops.digest(op)
        self._ops.setdefault(digest, op)
        if note is not None:
            self._notes.setdefault(digest, note)
        return digest

    def __getitem__(self, digest: str) -> Op:
        return self._ops[digest]

    def graph(self, targets: Iterable[str]) -> Graph:
        """The graph pruned to what the targets need."""
        needed = reachable(self._ops, targets)
        return Graph(
            {digest: op for digest, op in self._ops.items() if digest in needed},
            {digest: note for digest, note in self._notes.items() if digest in needed},
        )


def reachable(by_digest: Mapping[str, Op], targets: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    todo = list(targets)
    while todo:
        digest = todo.pop()
        if digest not in seen:
            seen.add(digest)
            todo.extend(ops.inputs(by_digest[digest]))
    return seen
