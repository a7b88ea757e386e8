"""The work of one build: plans, keys, steps and layers, each made when it is needed and not before."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from builder.announcing import PROXIES, Announcement
from builder.dockerfile.checks import traps
from builder.dockerfile.checks.rules import Finding
from builder.errors import NotFound
from builder.executor.local import LocalExecutor, Result, asked
from builder.executor.secrets import Secrets
from builder.executor.settings import NoCache, PartialCache, StepCache
from builder.executor.settings import Settings as ExecutorSettings
from builder.graph.ops import ExecOp, GitOp, HttpOp, makes_layer
from builder.images import alone, image_of, joined
from builder.oci.annotations import Annotations
from builder.packing import Packer
from builder.snapshots.convert import Packing
from builder.solver import keys as solver_keys
from builder.solver.report import Report
from builder.solver.solver import Solver
from builder.sources import epoch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.dockerfile.state import Plan
    from builder.errors import Span
    from builder.events import Emit, Flag
    from builder.executor.authorities import Authorities
    from builder.images import Built
    from builder.layers.codec import Compression
    from builder.layers.tree import Owners
    from builder.oci.assemble import Layer
    from builder.planning import Planned
    from builder.request import BuildRequest
    from builder.sandbox.tiers import Tier
    from builder.snapshots.cached import CachedStep
    from builder.sources.fetcher import Asked
    from builder.store.store import Store


class Work:
    """The parts of one build. The tier is chosen when something has to be done, not before."""

    def __init__(
        self,
        request: BuildRequest,
        planned: Planned,
        store: Store,
        emit: Emit,
        cancelled: Flag,
        authorities: Authorities | None,
    ) -> None:
        self.request = request
        self._authorities = authorities
        self.store = store
        self.secrets = Secrets({item.id: (item.kind, item.value) for item in request.secrets})
        emit = self.secrets.masking(emit)
        self.emit = emit
        self.cancelled = cancelled
        self.annotations = Annotations(request.annotations)
        self.planned = planned
        self.graph = self.planned.graph
        self._tier: Tier | None = None
        self._shared: str | None = None
        self._cache = self._chosen_cache()
        self._packer = Packer(store, self.owners, cancelled)
        self._announcement = Announcement(planned, self._fetches(), emit)
        self._executor = LocalExecutor(self.graph, store, self._cache, solver_keys, self._settings())
        self.planned.fetcher.fetch_all(self._fetches().values())
        self._keys = solver_keys.all_keys(self.graph, self._executor, self.planned.targets)
        if isinstance(self._cache, PartialCache):
            self._cache.fresh = frozenset(self._keys[digest] for digest in self.planned.fresh())
        self._executor.save_hashes()
        self.epochs = [self._epoch(plan) for plan in self.planned.plans]
        self.report = Report(self.graph, self._keys, emit)
        jobs = request.jobs or max(2, len(os.sched_getaffinity(0)))
        self._solver = Solver(self.graph, self._keys, self._executor, self.report, cancelled, jobs)

    def built(self, compression: Compression) -> Built:
        """The images with their documents. Nothing is run or packed when all their layers are known."""
        plans = zip(self.planned.plans, self.epochs, strict=True)
        pairs = [(plan, Packing(epoch, compression)) for plan, epoch in plans]
        known = [self._known(plan, packing) for plan, packing in pairs]
        holds_rootfs = any(output.holds_rootfs for output in self.request.outputs)
        if holds_rootfs or not all(all(layers) for layers in known):
            results = self.solve([digest for plan in self.planned.plans for digest in plan.made])
            known = [self._packer.pack([results[digest] for digest in plan.made], packing) for plan, packing in pairs]
        self._announce()
        self._judge()
        self._tell_cached()
        made = [
            image_of(plan, packing.epoch, [layer for layer in layers if layer], self.annotations)
            for (plan, packing), layers in zip(pairs, known, strict=True)
        ]
        if self.planned.is_index:
            return joined(made, self.planned.platforms, self.annotations)
        return alone(made[0], self.annotations)

    def _known(self, plan: Plan, packing: Packing) -> list[Layer | None]:
        """The layers that are known already, here or by a bundle that has all of them."""
        keys = [self._keys[digest] for digest in plan.made]
        known = self._packer.known(map(self._cache.find, keys), packing)
        bundles, request = self.planned.bundles, self.request
        if bundles is None or all(known) or request.no_cache or request.no_cache_filter:
            return known
        return self._packer.known(map(self._cache.find, keys), packing) if bundles.adopt(keys, packing) else known

    def cached(self, plan: Plan, packing: Packing) -> tuple[CachedStep, ...]:
        """The steps of one image, all of which are known."""
        from builder.snapshots.cached import CachedStep

        layers = self._known(plan, packing)
        if not all(layers):
            raise NotFound(
                f"--cache: stage {plan.stage!r} for {plan.config.platform} has not been built here as it is now",
                hint="build it first, with the same options",
            )
        keys = [self._keys[digest] for digest in plan.made]
        return tuple(
            CachedStep(key, self._traps(key), packing, layer) for key, layer in zip(keys, layers, strict=True) if layer
        )

    def _traps(self, key: str) -> tuple[str, ...] | None:
        traps = (self.store.records.get(key) or {}).get("traps")
        return tuple(map(str, traps)) if isinstance(traps, list) else None

    def _chosen_cache(self) -> StepCache:
        strict = self.request.strict
        if self.request.no_cache:
            return NoCache(self.store, strict=strict)
        kind = PartialCache if self.request.no_cache_filter else StepCache
        return kind(self.store, strict=strict)

    def _judge(self) -> None:
        """A strict build runs what it needed for nothing else, where nobody knows what traps the step holds."""
        if self.request.strict:
            steps = [digest for digest in self.graph.order(self.planned.targets) if makes_layer(self.graph[digest])]
            if unknown := [digest for digest in steps if not self._cache.find(self._keys[digest])]:
                self.solve(unknown)

    def _refuse(self, rule: str, detail: str, span: Span | None) -> None:
        """The end of a strict build that fell into a trap, unless the file says that it is meant."""
        if self.request.strict and span and self.planned.counts(trap := Finding(rule, detail, span)):
            raise traps.error([trap])

    def _settings(self) -> ExecutorSettings:
        return ExecutorSettings(
            contexts=self.planned.contexts,
            images=self.planned.resolver.layers,
            moved=self._moved,
            owners=self.owners,
            warn=self._announcement.warn,
            tier=self._enter,
            output=self._output,
            logs=f"{self.store.root}/logs/{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}",
            room=self._room,
            fetcher=self.planned.fetcher,
            proxies=tuple((name, value) for name, value in self.planned.args.items() if name in PROXIES),
            secrets=self.secrets,
            agents=dict(self.request.ssh),
            fresh=self._cache.is_fresh,
            refuse=self._refuse,
            authorities=self._authorities,
        )

    def _fetches(self) -> dict[str, Asked]:
        needed = self.graph.order(self.planned.targets)
        return {digest: asked(op) for digest in needed if isinstance(op := self.graph[digest], HttpOp | GitOp)}

    def _output(self, key: str, stream: int, line: bytes) -> None:
        self.report.output(key, stream, line)

    def _moved(self, key: str, digest: str, current: int, total: int) -> None:
        self.report.moved(key, digest, current, total)

    def _epoch(self, plan: Plan) -> int:
        created = plan.base.config.created if plan.base else ""
        fetched = self._executor.fetched(plan.epoch.source).time if plan.epoch.source else None
        inputs = self.planned.inputs
        return epoch.choose(plan.epoch, self.request.context, created, inputs.times, inputs.contexts, fetched)

    def solve(self, wanted: Sequence[str]) -> Mapping[str, Result]:
        self._enter()
        self._announce()
        return self._solver.solve(wanted)

    def _room(self) -> str:
        """A directory of this build, for what its steps share."""
        if self._shared is None:
            self._shared = self.store.lease.staging("shared")
        os.makedirs(self._shared, exist_ok=True)
        return self._shared

    def owners(self) -> Owners:
        from builder.sandbox.tiers import owners_of

        return owners_of(self._enter())

    def _enter(self) -> Tier:
        """Choose the tier that this build needs and enter its namespace, the first time."""
        from builder.sandbox import limits, tiers, userns

        if self._tier is None:
            limits.raise_open_files()
            needs_run = any(isinstance(op, ExecOp) for op in self.graph.ops.values())
            # Not in tmp/ itself: what has no lease there, another build may sweep at any moment.
            with self.store.trees.scratch("probe") as place:
                self._tier = tiers.choose(self.request.isolation, needs_run, place)
                reason = tiers.notice(place)
            self.planned.search.settle()
            userns.enter(self._tier)
            self.store.sweep()
            if reason:
                self._announcement.warn(reason)
        return self._tier

    def _announce(self) -> None:
        self._announcement.tell(self.report, self._tier or "")

    def _tell_cached(self) -> None:
        """Show what nobody had to look at, because a layer above it was known."""
        for digest, op in self.graph.ops.items():
            if not makes_layer(op) or self._cache.find(self._keys[digest]):
                self.report.cached(digest)
