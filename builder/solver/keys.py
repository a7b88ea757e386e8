"""Cache keys: an op together with the keys of what it reads."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.graph import ops

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from builder.graph.graph import Graph
    from builder.graph.ops import Op
    from builder.solver.protocols import Executor, R

# Raised whenever the same key would mean another result: a change of execution or of the tree format.
FORMAT = 3


def combine(op: Op, parts: Sequence[object], input_keys: Sequence[str]) -> str:
    """The key of an op whose own share is `parts` (JSON values): 64 hex digits."""
    text = json.dumps([FORMAT, type(op).__name__, parts, list(input_keys)], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def plain_key(op: Op, input_keys: Sequence[str]) -> str:
    """The key of an op that depends on its fields and inputs alone."""
    return combine(op, ops.own_fields(op), input_keys)


def all_keys(graph: Graph, executor: Executor[R], targets: Iterable[str]) -> Mapping[str, str]:
    """Key of every op that the targets need, by op digest, in topological order.

    A key may need what is not there (a file to copy): that BuildError gets the place of its instruction.
    """
    keys: dict[str, str] = {}
    for digest in graph.order(targets):
        op = graph[digest]
        try:
            keys[digest] = executor.key(op, [keys[parent] for parent in ops.inputs(op)])
        except BuildError as error:
            note = graph.notes.get(digest)
            error.span = error.span or (note.span if note else None)
            raise
    return keys
