"""Executes ops on this machine: results are trees in the store, found again by key.

    key       what the op says, the keys of what it reads, and the content of context files
    load      a record of the cache names a tree that is still there
    execute   stage a tree, fill it, publish it, record it under the key     (in `perform`)

A build that finds everything only looks up keys: the execution half is imported when something is executed.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

from builder.errors import BuildError, of_system
from builder.executor import mount_sources
from builder.executor.copy_key import content_parts
from builder.executor.select import select_from_context
from builder.executor.traps import Traps
from builder.graph import ops
from builder.graph.ops import ContextOp, CopyOp, ExecOp, GitOp, HttpOp, ImageOp, MergeOp, ScratchOp
from builder.snapshots.snapshot import EMPTY, Snapshot
from builder.sources.fetcher import Asked
from builder.sources.hashes import FileHashes
from builder.sources.image import load_image, unpack_image
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.events import Flag
    from builder.executor.select import Source
    from builder.executor.settings import Keys, Settings, StepCache
    from builder.graph.graph import Graph, Note
    from builder.graph.ops import CopySource, Op
    from builder.sources.context import ContextTree
    from builder.sources.fetched import Fetched
    from builder.store.store import Store


class Result(NamedTuple):
    """`id` names the topmost tree among the store's snapshots; "" where the op has made none."""

    id: str
    snapshot: Snapshot


class LocalExecutor:
    """An Executor (`builder.solver.protocols`) over one store. Thread safe: each op has its own staging directory."""

    def __init__(self, graph: Graph, store: Store, cache: StepCache, keys: Keys, settings: Settings) -> None:
        self.graph = graph
        self.store = store
        self.settings = settings
        self._cache = cache
        self._keys = keys
        self._selected: dict[str, dict[int, list[Source]]] = {}
        self._hashes = {
            name: FileHashes(f"{store.root}/hashes", context.root) for name, context in settings.contexts.items()
        }

    @cached_property
    def run_upon(self) -> frozenset[str]:
        """The ops whose trees a RUN of this graph mounts."""
        found: set[str] = set()
        for digest in reversed(list(self.graph.ops)):
            op = self.graph[digest]
            if isinstance(op, ExecOp):
                found.update(ops.inputs(op))
            elif digest in found:
                found.update(ops.inputs(op)[:1] if isinstance(op, CopyOp) else ops.inputs(op))
        return frozenset(found)

    def key(self, op: Op, input_keys: Sequence[str]) -> str:
        match op:
            case ImageOp():
                return self._keys.combine(op, [op.diff_ids], ())
            case ContextOp():
                return self._keys.combine(op, (), ())  # what is read of it counts, not its name
            case HttpOp() | GitOp():
                return self._keys.combine(op, self.fetched(op).content, ())
            case CopyOp() if any(isinstance(self.graph[source.op], ContextOp) for source in op.sources):
                return self._context_copy_key(op, input_keys)
            case ExecOp() if any(mount.source for mount in op.mounts):
                return self._mounts_key(op, input_keys)
            case _:
                return self._keys.plain_key(op, input_keys)

    def load(self, op: Op, key: str, inputs: Sequence[Result]) -> Result | None:
        match op:
            case ScratchOp() | ContextOp():
                return Result("", EMPTY)
            case HttpOp() | GitOp():
                return Result("", Snapshot((self.fetched(op).tree,)))
            case ImageOp():
                snapshot = load_image(op.diff_ids, self.store, self.settings.owners())
                return None if snapshot is None else Result("", snapshot)
            case MergeOp():
                return _merged(inputs) if len(inputs) == 2 else None
            case _:
                return self._load_snapshot(key, inputs)

    def execute(self, op: Op, key: str, note: Note, inputs: Sequence[Result], cancelled: Flag) -> Result:
        try:
            if isinstance(op, ImageOp):
                return self._unpack(op, key, cancelled)
            if isinstance(op, MergeOp):
                return _merged(inputs)
            return self._execute(op, key, note, [result.snapshot for result in inputs], cancelled)
        except BuildError as error:
            error.span = error.span or note.span
            raise
        except OSError as error:
            raise of_system(error, note.span) from error

    def _unpack(self, op: ImageOp, key: str, cancelled: Flag) -> Result:
        moved = partial(self.settings.moved, key)
        owners = self.settings.owners()
        return Result("", unpack_image(op.manifest, self.settings.images, self.store, owners, cancelled, moved))

    def selected(self, op: CopyOp) -> Mapping[int, list[Source]]:
        """What the key of `op` was made of: by number of the source, for those that are contexts."""
        digest = ops.digest(op)
        if digest not in self._selected:
            trap = Traps(self.settings.refuse, self.graph.notes[digest].span).add
            self._selected[digest] = {
                number: select_from_context(op, source.paths, self.settings.contexts[origin.name], origin.name, trap)
                for number, source in enumerate(op.sources)
                if isinstance(origin := self.graph[source.op], ContextOp)
            }
        return self._selected[digest]

    def context(self, source: CopySource) -> ContextTree:
        origin = self.graph[source.op]
        assert isinstance(origin, ContextOp)
        return self.settings.contexts[origin.name]

    def save_hashes(self) -> None:
        """Keep the digests of context files for the next build."""
        for hashes in self._hashes.values():
            hashes.save()

    def _context_copy_key(self, op: CopyOp, input_keys: Sequence[str]) -> str:
        """Context files count by content; where they come from does not."""
        try:
            content = [
                [number, content_parts(sources, self.context(op.sources[number]), self._hashes_of(op.sources[number]))]
                for number, sources in self.selected(op).items()
            ]
        except BuildError as error:
            error.span = error.span or self.graph.notes[ops.digest(op)].span
            raise
        return self._keys.combine(op, [ops.own_fields(op), content], input_keys)

    def _hashes_of(self, source: CopySource) -> FileHashes:
        origin = self.graph[source.op]
        assert isinstance(origin, ContextOp)
        return self._hashes[origin.name]

    def _mounts_key(self, op: ExecOp, input_keys: Sequence[str]) -> str:
        """What a mount shows of a build context is a part of the key, as it is for COPY."""
        try:
            content = mount_sources.content(op, self.graph, self.settings.contexts, self._hashes)
        except BuildError as error:
            error.span = error.span or self.graph.notes[ops.digest(op)].span
            raise
        if not content:
            return self._keys.plain_key(op, input_keys)
        return self._keys.combine(op, [*ops.own_fields(op), content], input_keys)

    def _load_snapshot(self, key: str, inputs: Sequence[Result]) -> Result | None:
        owners = self.settings.owners()
        for name in self._cache.names(key, owners):
            if self.store.trees.exists("snapshots", owners, name):
                return Result(name, inputs[0].snapshot.over(self._path(name)))
        return None

    def fetched(self, op: HttpOp | GitOp) -> Fetched:
        """Before the first step, while this process is still the user's own: ssh and git look at who calls them."""
        return self.settings.fetcher.fetch(asked(op))

    def _path(self, name: str) -> str:
        return self.store.trees.path("snapshots", self.settings.owners(), name)

    def _execute(self, op: Op, key: str, note: Note, inputs: Sequence[Snapshot], cancelled: Flag) -> Result:
        from builder.executor.perform import Work, perform

        name = self._cache.name(key, self.settings.owners())
        trees = self.store.trees
        traps = Traps(self.settings.refuse, note.span)
        with trees.scratch() as staged, trees.scratch("work") as room:
            perform(Work(op, key, note, inputs, staged, room, cancelled, traps), self)
            trees.publish(staged, "snapshots", self.settings.owners(), name)
        self._cache.remember(key, name, traps.found)
        return Result(name, inputs[0].over(self._path(name)))


def asked(op: HttpOp | GitOp) -> Asked:
    """The name of a download is none of the server's business: it follows from the address."""
    return Asked("http", (op.url, op.checksum)) if isinstance(op, HttpOp) else Asked("git", tuple(op))


def _merged(inputs: Sequence[Result]) -> Result:
    """The tree of the second input on top of the first: nothing is written."""
    root, added = inputs
    return Result(added.id, root.snapshot.over(added.snapshot.trees[0]))
