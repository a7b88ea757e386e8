"""FROM a directory: a named build context as the base of a stage (dockerfile-language 1.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile import history
from builder.graph.ops import ContextOp, CopyOp, CopySource

if TYPE_CHECKING:
    from builder.dockerfile.state import StageState
    from builder.graph.graph import GraphBuilder, Note


def from_context(name: str, empty: StageState, builder: GraphBuilder, note: Note) -> StageState:
    """The state of a stage that begins with everything in the context; `empty` is that of FROM scratch."""
    source = CopySource(builder.add(ContextOp(name)), ("/",))
    op = CopyOp(empty.root, (source,), files=(), dest="/", chown=None, chmod=None, exclude=(), keep_owner=False)
    return empty.grown(builder.add(op, note), history.step(f"FROM {name}"))
