"""The whole build on one page: the only place where meaning and matter meet.

Dockerfile ─► plans ─► keys ─► layers that are known already        (one plan for each platform,
                               └─ the others: solve ─► pack          all over one graph)
           ─► images ─► index ─► store, tags ─► outputs
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from builder import events
from builder.announcing import PROXIES, Announcement
from builder.dockerfile.checks import traps
from builder.dockerfile.checks.rules import Finding
from builder.errors import BuildError, NotFound
from builder.executor.local import LocalExecutor, Result, asked
from builder.executor.secrets import Secrets
from builder.executor.settings import NoCache, PartialCache, StepCache
from builder.executor.settings import Settings as ExecutorSettings
from builder.graph.ops import ExecOp, GitOp, HttpOp, ImageOp, makes_layer
from builder.images import alone, image_of, joined
from builder.oci.annotations import Annotations
from builder.oci.descriptor import CREATED
from builder.oci.reference import parse_reference
from builder.packing import Packer
from builder.planning import Planned
from builder.request import BuildResult
from builder.snapshots.convert import Packing
from builder.solver import keys as solver_keys
from builder.solver.report import Report
from builder.solver.solver import Solver
from builder.sources import epoch
from builder.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.dockerfile.state import Plan
    from builder.errors import Span
    from builder.events import Emit, Flag
    from builder.executor.authorities import Authorities
    from builder.exporters.exporter import Exporter, Rootfs
    from builder.exporters.spec import Output
    from builder.images import Built
    from builder.layers.codec import Compression
    from builder.layers.tree import Owners
    from builder.oci.assemble import Layer
    from builder.oci.platform import Platform
    from builder.request import BuildRequest
    from builder.sandbox.tiers import Tier
    from builder.snapshots.cached import CachedStep
    from builder.sources.fetcher import Asked


class Never:
    """The Flag of a build that nobody stops."""

    def is_set(self) -> bool:
        return False


def nobody(event: events.Event) -> None:
    """The Emit that tells nobody."""


def build(request: BuildRequest, emit: Emit = nobody, cancelled: Flag | None = None) -> BuildResult:
    """Build one image, or an index of one for each platform, tag it, write the outputs. Raises BuildError.

    A build that has something to run moves this process into a user namespace of its own for good; the
    kernel allows that only while the process has one thread.
    """
    begin = time.monotonic()
    if request.outputs:
        from builder.exporters.spec import check_platforms

        check_platforms(request.outputs, len(request.platforms))
    authorities = _authorities(request.build_ca)
    with Store.open(request.store) as store, Planned(request, store, cancelled or Never()) as planned:
        if request.offline:
            planned.need_downloads()
        work = _Work(request, planned, store, emit, cancelled or Never(), authorities)
        try:
            built = work.built(request.compression)
            if [output.kind for output in request.outputs] != ["cacheonly"]:
                work.publish(built)
                for output in request.outputs:
                    work.export(output)
        except BuildError as error:
            work.secrets.mask_error(error)
            raise
        report = work.report
        emit(events.BuildFinished(time.monotonic(), time.monotonic() - begin, report.hits, report.executed))
    name = str(work.tags[0]) if work.tags else ""
    result = built.result.annotated((CREATED, work.created))
    return BuildResult(name, result.digest, built.config_digest, result, report.hits, report.executed)


def _authorities(paths: Sequence[str]) -> Authorities | None:
    """Those of --build-ca, before anything else is done. Raises UsageError."""
    if not paths:
        return None
    from builder.executor import authorities

    return authorities.read(paths)


def plan_text(request: BuildRequest) -> str:
    """The plan of a build as text; nothing is run. Raises BuildError."""
    from builder.graph import text

    with Store.open(request.store) as store, Planned(request, store, Never()) as planned:
        return text.dump(planned.graph, planned.targets)


def cached_steps(
    request: BuildRequest, planned: Planned, store: Store, cancelled: Flag
) -> list[tuple[str, Platform, tuple[CachedStep, ...]]]:
    """Stage, platform and steps of each image of `planned`, all of which were built here before. Nothing is run.

    Raises NotFound for an image of which the store does not know all layers.
    """
    work = _Work(request, planned, store, nobody, cancelled, None)
    return [
        (plan.stage, platform, work.cached(plan, Packing(when, request.compression)))
        for plan, platform, when in zip(planned.plans, planned.platforms, work.epochs, strict=True)
    ]


class _Work:
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
        self._request = request
        self._authorities = authorities
        self._store = store
        self.secrets = Secrets({item.id: (item.kind, item.value) for item in request.secrets})
        emit = self.secrets.masking(emit)
        self._emit = emit
        self._cancelled = cancelled
        self._annotations = Annotations(request.annotations)
        self._planned = planned
        self._graph = self._planned.graph
        self._tier: Tier | None = None
        self._shared: str | None = None
        self._cache = self._chosen_cache()
        self._packer = Packer(store, self._owners, cancelled)
        self._announcement = Announcement(planned, self._fetches(), emit)
        self._executor = LocalExecutor(self._graph, store, self._cache, solver_keys, self._settings())
        self._planned.fetcher.fetch_all(self._fetches().values())
        self._keys = solver_keys.all_keys(self._graph, self._executor, self._planned.targets)
        if isinstance(self._cache, PartialCache):
            self._cache.fresh = frozenset(self._keys[digest] for digest in self._planned.fresh())
        self._executor.save_hashes()
        self.epochs = [self._epoch(plan) for plan in self._planned.plans]
        self.report = Report(self._graph, self._keys, emit)
        jobs = request.jobs or max(2, len(os.sched_getaffinity(0)))
        self._solver = Solver(self._graph, self._keys, self._executor, self.report, cancelled, jobs)
        self.tags = [parse_reference(tag).or_latest() for tag in request.tags]

    def built(self, compression: Compression) -> Built:
        """The images with their documents. Nothing is run or packed when all their layers are known."""
        plans = zip(self._planned.plans, self.epochs, strict=True)
        pairs = [(plan, Packing(epoch, compression)) for plan, epoch in plans]
        known = [self._known(plan, packing) for plan, packing in pairs]
        holds_rootfs = any(output.holds_rootfs for output in self._request.outputs)
        if holds_rootfs or not all(all(layers) for layers in known):
            results = self._solve([digest for plan in self._planned.plans for digest in plan.made])
            known = [self._packer.pack([results[digest] for digest in plan.made], packing) for plan, packing in pairs]
        self._announce()
        self._judge()
        self._tell_cached()
        made = [
            image_of(plan, packing.epoch, [layer for layer in layers if layer], self._annotations)
            for (plan, packing), layers in zip(pairs, known, strict=True)
        ]
        if self._planned.is_index:
            return joined(made, self._planned.platforms, self._annotations)
        return alone(made[0], self._annotations)

    def _known(self, plan: Plan, packing: Packing) -> list[Layer | None]:
        """The layers that are known already, here or by a bundle that has all of them."""
        keys = [self._keys[digest] for digest in plan.made]
        known = self._packer.known(map(self._cache.find, keys), packing)
        bundles, request = self._planned.bundles, self._request
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
        traps = (self._store.records.get(key) or {}).get("traps")
        return tuple(map(str, traps)) if isinstance(traps, list) else None

    @property
    def created(self) -> str:
        return epoch.rfc3339(max(self.epochs))

    def publish(self, built: Built) -> None:
        """Layers and documents first, names last: a name never stands for half an image."""
        for plan in self._planned.plans:
            self._bring(plan)
        self._put(built)
        for tag in self.tags:
            self._store.tags.set(str(tag), built.result)
        for name in [tag.familiar() for tag in self.tags] or [""]:
            self._emit(events.ImageReady(time.monotonic(), name, built.result.digest, built.size))

    def _bring(self, plan: Plan) -> None:
        """The layers of the base that no step needed, shown as the work of its FROM."""
        if plan.base is None or not (absent := self._planned.resolver.layers.absent(plan.base.manifest)):
            return
        manifest = plan.base.manifest
        op = next(key for key, op in self._graph.ops.items() if isinstance(op, ImageOp) and op.manifest == manifest)
        with self.report.during(op) as moved:
            for _ in self._planned.resolver.layers.brought(manifest, absent, moved, self._cancelled):
                pass

    def _put(self, built: Built) -> None:
        for image in built.images:
            self._store.blobs.put_bytes(image.config.media_type, image.config_bytes)
            self._store.blobs.put_bytes(image.manifest.media_type, image.manifest_bytes)
        if built.index_bytes:
            self._store.blobs.put_bytes(built.result.media_type, built.index_bytes)

    def export(self, output: Output) -> None:
        """Write one output; `compression=` of it may ask for layers of another kind than the store's image has."""
        import sys

        from builder.exporters.exporter import StoredImage, output_names

        built = self.built(output.compression or self._request.compression)
        self._put(built)
        own = self._annotations.of("index-descriptor")
        result = built.result.annotated(*own) if own else built.result
        stored = StoredImage(self._store.blobs, result, output_names(output, tuple(self.tags)))
        self._exporter(output).export(stored, sys.stdout.buffer)
        if not output.is_image:
            self._emit(events.Exported(time.monotonic(), output.kind, output.dest, built.result.digest))

    def _exporter(self, output: Output) -> Exporter:
        if output.is_image:
            from builder.exporters.image import ImageExporter

            return ImageExporter(output, self._store, self._request.registry, self._emit, self._cancelled)
        from builder.exporters.exporter import exporter_for

        return exporter_for(output, self._roots())

    def _roots(self) -> list[tuple[str, Rootfs]]:
        """The root file system of each platform, for outputs that hold it and not its layers."""
        from builder.exporters.exporter import Rootfs

        def rootfs(plan: Plan, when: int) -> Rootfs:
            return Rootfs(lambda: self._solve([plan.target])[plan.target].snapshot, self._owners, when)

        roots = [rootfs(plan, when) for plan, when in zip(self._planned.plans, self.epochs, strict=True)]
        names = [str(platform) for platform in self._planned.platforms]
        return list(zip(names, roots, strict=True))

    def _chosen_cache(self) -> StepCache:
        strict = self._request.strict
        if self._request.no_cache:
            return NoCache(self._store, strict=strict)
        kind = PartialCache if self._request.no_cache_filter else StepCache
        return kind(self._store, strict=strict)

    def _judge(self) -> None:
        """A strict build runs what it needed for nothing else, where nobody knows what traps the step holds."""
        if self._request.strict:
            steps = [digest for digest in self._graph.order(self._planned.targets) if makes_layer(self._graph[digest])]
            if unknown := [digest for digest in steps if not self._cache.find(self._keys[digest])]:
                self._solve(unknown)

    def _refuse(self, rule: str, detail: str, span: Span | None) -> None:
        """The end of a strict build that fell into a trap, unless the file says that it is meant."""
        if self._request.strict and span and self._planned.counts(trap := Finding(rule, detail, span)):
            raise traps.error([trap])

    def _settings(self) -> ExecutorSettings:
        return ExecutorSettings(
            contexts=self._planned.contexts,
            images=self._planned.resolver.layers,
            moved=self._moved,
            owners=self._owners,
            warn=self._announcement.warn,
            tier=self._enter,
            output=self._output,
            logs=f"{self._store.root}/logs/{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}",
            room=self._room,
            fetcher=self._planned.fetcher,
            proxies=tuple((name, value) for name, value in self._planned.args.items() if name in PROXIES),
            secrets=self.secrets,
            agents=dict(self._request.ssh),
            fresh=self._cache.is_fresh,
            refuse=self._refuse,
            authorities=self._authorities,
        )

    def _fetches(self) -> dict[str, Asked]:
        needed = self._graph.order(self._planned.targets)
        return {digest: asked(op) for digest in needed if isinstance(op := self._graph[digest], HttpOp | GitOp)}

    def _output(self, key: str, stream: int, line: bytes) -> None:
        self.report.output(key, stream, line)

    def _moved(self, key: str, digest: str, current: int, total: int) -> None:
        self.report.moved(key, digest, current, total)

    def _epoch(self, plan: Plan) -> int:
        created = plan.base.config.created if plan.base else ""
        fetched = self._executor.fetched(plan.epoch.source).time if plan.epoch.source else None
        inputs = self._planned.inputs
        return epoch.choose(plan.epoch, self._request.context, created, inputs.times, inputs.contexts, fetched)

    def _solve(self, wanted: Sequence[str]) -> Mapping[str, Result]:
        self._enter()
        self._announce()
        return self._solver.solve(wanted)

    def _room(self) -> str:
        """A directory of this build, for what its steps share."""
        if self._shared is None:
            self._shared = self._store.lease.staging("shared")
        os.makedirs(self._shared, exist_ok=True)
        return self._shared

    def _owners(self) -> Owners:
        from builder.sandbox.tiers import owners_of

        return owners_of(self._enter())

    def _enter(self) -> Tier:
        """Choose the tier that this build needs and enter its namespace, the first time."""
        from builder.sandbox import limits, tiers, userns

        if self._tier is None:
            limits.raise_open_files()
            needs_run = any(isinstance(op, ExecOp) for op in self._graph.ops.values())
            # Not in tmp/ itself: what has no lease there, another build may sweep at any moment.
            with self._store.trees.scratch("probe") as place:
                self._tier = tiers.choose(self._request.isolation, needs_run, place)
                reason = tiers.notice(place)
            self._planned.search.settle()
            userns.enter(self._tier)
            self._store.sweep()
            if reason:
                self._announcement.warn(reason)
        return self._tier

    def _announce(self) -> None:
        self._announcement.tell(self.report, self._tier or "")

    def _tell_cached(self) -> None:
        """Show what nobody had to look at, because a layer above it was known."""
        for digest, op in self._graph.ops.items():
            if not makes_layer(op) or self._cache.find(self._keys[digest]):
                self.report.cached(digest)
