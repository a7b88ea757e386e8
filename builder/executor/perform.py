"""Fills a staged tree with what an op makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.executor import copy_op, exec_op
from builder.executor.copy_key import changed_since
from builder.executor.copy_op import Batch, Target
from builder.executor.select import select_from_stage
from builder.graph import ops
from builder.graph.ops import CopyOp, ExecOp, MkdirOp
from builder.layers.tree import create_tree
from builder.snapshots.view import View
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.events import Flag
    from builder.executor.local import LocalExecutor
    from builder.executor.select import Source
    from builder.executor.traps import Traps
    from builder.graph.graph import Note
    from builder.graph.ops import Op
    from builder.snapshots.snapshot import Snapshot
    from builder.sources.context import ContextTree


class Work(NamedTuple):
    """One op to do: the snapshots it reads, the tree to fill, and a directory for what is needed meanwhile."""

    op: Op
    key: str
    note: Note
    inputs: Sequence[Snapshot]
    tree: str
    room: str
    cancelled: Flag
    traps: Traps


def perform(work: Work, executor: LocalExecutor) -> None:
    """Fill `work.tree`. Raises BuildError; the tree is then rubbish."""
    settings = executor.settings
    create_tree(work.tree)
    with View(work.inputs[0], settings.owners()) as base:
        target = Target(base, work.tree, work.room, settings.owners(), settings.warn, work.traps.add)
        if isinstance(work.op, CopyOp) and work.op.keep_owner:  # from a stage or an image
            target = target._replace(unseen=ops.digest(work.op) not in executor.run_upon)
        match work.op:
            case ExecOp():
                exec_op.run(work.op, work, target, executor)
            case MkdirOp():
                copy_op.make_directory(work.op.path, copy_op.owner(work.op.user, "USER ", target), target)
            case CopyOp():
                _copy(work.op, work, target, executor)
            case _:
                raise AssertionError(work.op)


def _copy(op: CopyOp, work: Work, target: Target, executor: LocalExecutor) -> None:
    from contextlib import ExitStack

    selected = executor.selected(op)
    with ExitStack() as views:
        batches: list[Batch] = []
        for number, source in enumerate(op.sources):
            if number in selected:
                batches.append(Batch(executor.context(source), selected[number], source.unpack))
            else:
                view = views.enter_context(View(work.inputs[number + 1], target.owners))
                batches.append(Batch(view, select_from_stage(op, source.paths, view, target.trap), source.unpack))
        copy_op.copy(op, batches, target)
    for number, sources in selected.items():
        _check_unchanged(sources, executor.context(op.sources[number]))


def _check_unchanged(sources: list[Source], context: ContextTree) -> None:
    changed = changed_since(sources, context)
    if changed is not None:
        raise BuildError(
            f'"/{changed}" was changed while it was being copied',
            hint="build again when nothing writes to the build context",
        )
