"""Executes ops on this machine: results are trees in the store, found again by key.

    load      a record of the cache names a tree that is still there ─► Result
    execute   stage a tree ─► run, copy or make ─► publish it ─► record it under the key
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

from builder.errors import BuildError
from builder.executor import accounts, copy_op
from builder.executor.copy_key import changed_since, content_parts
from builder.graph import ops
from builder.graph.ops import ContextOp, CopyOp, ExecOp, ImageOp, MkdirOp, ScratchOp
from builder.layers.tree import create_tree
from builder.snapshots.snapshot import EMPTY, Snapshot
from builder.snapshots.view import View
from builder.sources.hashes import FileHashes
from builder.sources.image import load_image, unpack_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from builder.executor.exec_op import Exec
    from builder.executor.select import Source
    from builder.graph.graph import Graph, Note
    from builder.graph.ops import Op
    from builder.layers.tree import Owners
    from builder.oci.assemble import Layer
    from builder.sources.context import ContextTree
    from builder.store.store import Store


class Flag(Protocol):
    def is_set(self) -> bool: ...


class Keys(Protocol):
    """How keys are made of an op's own parts and the keys of its inputs (`builder.solver.keys`)."""

    def combine(self, op: Op, parts: Sequence[object], input_keys: Sequence[str]) -> str: ...

    def plain_key(self, op: Op, input_keys: Sequence[str]) -> str: ...


class Result(NamedTuple):
    """`id` names the topmost tree among the store's snapshots; "" where the op has made none."""

    id: str
    snapshot: Snapshot


class Cache(Protocol):
    def find(self, key: str) -> str | None:
        """The id of the snapshot that a key produced."""
        ...

    def name(self, key: str) -> str:
        """The id for a snapshot about to be made."""
        ...

    def remember(self, key: str, snapshot: str) -> None: ...


class StepCache:
    """Finds what any build has made."""

    def __init__(self, store: Store) -> None:
        self._records = store.records

    def find(self, key: str) -> str | None:
        record = self._records.get(key)
        return str(record["snapshot"]) if record and "snapshot" in record else None

    def name(self, key: str) -> str:
        return key

    def remember(self, key: str, snapshot: str) -> None:
        self._records.put(key, {"snapshot": snapshot})


class NoCache(StepCache):
    """Finds only what this build has made itself; what it makes replaces what was known."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._made: dict[str, str] = {}

    def find(self, key: str) -> str | None:
        return self._made.get(key)

    def name(self, key: str) -> str:
        return f"{key[:40]}-{os.urandom(8).hex()}"

    def remember(self, key: str, snapshot: str) -> None:
        self._made[key] = snapshot
        super().remember(key, snapshot)


class Settings(NamedTuple):
    """What execution depends on beside the graph. `images` has the layers of each pinned image by manifest digest.

    `owners` is asked for when a tree is looked for or made, not before: it may enter a user namespace.
    """

    contexts: Mapping[str, ContextTree]
    images: Mapping[str, Sequence[Layer]]
    owners: Callable[[], Owners]
    warn: Callable[[str], None]
    exec: Exec


class LocalExecutor:
    """An Executor (`builder.solver.protocols`) over one store. Thread safe: each op has its own staging directory."""

    def __init__(self, graph: Graph, store: Store, cache: Cache, keys: Keys, settings: Settings) -> None:
        self._graph = graph
        self._store = store
        self._cache = cache
        self._keys = keys
        self._settings = settings
        self._selected: dict[str, list[Source]] = {}
        self._hashes = {
            name: FileHashes(f"{store.root}/hashes", context.root) for name, context in settings.contexts.items()
        }

    def key(self, op: Op, input_keys: Sequence[str]) -> str:
        match op:
            case ImageOp():
                return self._keys.combine(op, [op.diff_ids], ())
            case ContextOp():
                return self._keys.combine(op, (), ())
            case CopyOp() if op.paths and isinstance(self._graph[op.source], ContextOp):
                return self._context_copy_key(op, input_keys)
            case _:
                return self._keys.plain_key(op, input_keys)

    def load(self, op: Op, key: str, inputs: Sequence[Result]) -> Result | None:
        match op:
            case ScratchOp() | ContextOp():
                return Result("", EMPTY)
            case ImageOp():
                snapshot = load_image(op.diff_ids, self._store, self._settings.owners())
                return None if snapshot is None else Result("", snapshot)
            case _:
                return self._load_snapshot(key, inputs)

    def execute(self, op: Op, key: str, note: Note, inputs: Sequence[Result], cancelled: Flag) -> Result:
        if isinstance(op, ImageOp):
            return Result("", unpack_image(self._settings.images[op.manifest], self._store, self._settings.owners(), cancelled))
        try:
            return self._execute(op, key, note, [result.snapshot for result in inputs], cancelled)
        except BuildError as error:
            if error.span is None:
                error.span = note.span
            raise

    def save_hashes(self) -> None:
        """Keep the digests of context files for the next build."""
        for hashes in self._hashes.values():
            hashes.save()

    def _context_copy_key(self, op: CopyOp, input_keys: Sequence[str]) -> str:
        name = self._context_name(op)
        context = self._settings.contexts[name]
        sources = copy_op.select_from_context(op, context, name)
        self._selected[ops.digest(op)] = sources
        parts = [field for field in op if field not in (op.root, op.source)]
        return self._keys.combine(op, [*parts, content_parts(sources, context, self._hashes[name])], input_keys[:1])

    def _context_name(self, op: CopyOp) -> str:
        source = self._graph[op.source]
        assert isinstance(source, ContextOp)
        return source.name

    def _load_snapshot(self, key: str, inputs: Sequence[Result]) -> Result | None:
        name = self._cache.find(key)
        if name is None or not self._store.trees.exists("snapshots", self._settings.owners(), name):
            return None
        return Result(name, inputs[0].snapshot.over(self._path(name)))

    def _path(self, name: str) -> str:
        return self._store.trees.path("snapshots", self._settings.owners(), name)

    def _execute(self, op: Op, key: str, note: Note, inputs: Sequence[Snapshot], cancelled: Flag) -> Result:
        owners = self._settings.owners()
        name = self._cache.name(key)
        with self._store.trees.scratch() as staged, self._store.trees.scratch("work") as work:
            create_tree(staged)
            with View(inputs[0], owners) as base:
                target = copy_op.Target(base, staged, work, owners, self._settings.warn)
                self._fill(op, key, note, inputs, target, cancelled)
            self._store.trees.publish(staged, "snapshots", owners, name)
        self._cache.remember(key, name)
        return Result(name, inputs[0].over(self._path(name)))

    def _fill(
        self, op: Op, key: str, note: Note, inputs: Sequence[Snapshot], target: copy_op.Target, cancelled: Flag
    ) -> None:
        match op:
            case ExecOp():
                self._settings.exec.run(op, key, note, inputs[0], target, cancelled)
            case MkdirOp():
                user = accounts.identity(op.user, target.base)
                copy_op.make_directory(op.path, (user.uid, user.gid), target)
            case CopyOp():
                self._copy(op, inputs, target)
            case _:
                raise AssertionError(op)

    def _copy(self, op: CopyOp, inputs: Sequence[Snapshot], target: copy_op.Target) -> None:
        if not op.paths:
            copy_op.copy(op, [], target.base, target)
        elif isinstance(self._graph[op.source], ContextOp):
            self._copy_context(op, target)
        else:
            with View(inputs[1], target.owners) as view:
                copy_op.copy(op, copy_op.select_from_stage(op, view), view, target)

    def _copy_context(self, op: CopyOp, target: copy_op.Target) -> None:
        context = self._settings.contexts[self._context_name(op)]
        sources = self._selected[ops.digest(op)]
        copy_op.copy(op, sources, context, target)
        changed = changed_since(sources, context)
        if changed is not None:
            raise BuildError(
                f'"/{changed}" was changed while it was being copied',
                hint="build again when nothing writes to the build context",
            )
