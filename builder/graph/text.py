"""The printed form of a graph: `rbuild plan` and the golden files of its tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from builder.graph.ops import CopyOp, InlineFile, Op, inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.graph.graph import Graph

_INPUTS = {"root", "added", "sources"}


def dump(graph: Graph, targets: Sequence[str]) -> str:
    """One block an op: a number, its kind and name, its inputs by number, then its fields."""
    numbers = {digest: number for number, digest in enumerate(graph.order(targets), 1)}
    blocks = [_block(graph, digest, numbers) for digest in numbers]
    return "\n".join(blocks) + "\n"


def _block(graph: Graph, digest: str, numbers: dict[str, int]) -> str:
    op = graph[digest]
    note = graph.notes.get(digest)
    sources = " ".join(f"#{numbers[parent]}" for parent in inputs(op))
    title = f"#{numbers[digest]} {type(op).__name__}" + (f" <- {sources}" if sources else "")
    lines = [title + (f"   {note.step}" if note else "")]
    lines += _copied(op, numbers) if isinstance(op, CopyOp) else []
    lines += [f"     {name} = {_value(value)}" for name, value in _fields(op)]
    return "\n".join(lines)


def _copied(op: CopyOp, numbers: dict[str, int]) -> list[str]:
    """A line a source; its op is named where there are several."""
    lines = []
    for source in op.sources:
        origin = f"   from #{numbers[source.op]}" if len(op.sources) > 1 else ""
        unpack = "   unpack" if source.unpack else ""
        lines.append(f"     paths = {json.dumps(source.paths)}{unpack}{origin}")
    return lines


def _fields(op: Op) -> list[tuple[str, object]]:
    pairs = zip(op._fields, op, strict=True)
    return [
        (name, value)
        for name, value in pairs
        if name not in _INPUTS and value not in ((), None, False, "", 0, "sandbox")
    ]


def _value(value: object) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], InlineFile):
        value = [f"<<{file.name}" for file in value]
    return json.dumps(value)
