"""The whole build on one page: the only place where meaning and matter meet.

Dockerfile ─► plan ─► keys ─► layers that are known already
                              └─ the others: solve ─► pack
           ─► image ─► store, tags ─► outputs
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from builder import events
from builder.dockerfile import lower
from builder.dockerfile.parser import parse
from builder.executor.local import LocalExecutor, Result
from builder.executor.settings import NoCache, StepCache
from builder.executor.settings import Settings as ExecutorSettings
from builder.graph.ops import ExecOp, makes_layer
from builder.oci.assemble import assemble
from builder.oci.platform import host
from builder.oci.reference import parse_reference
from builder.snapshots.convert import Packing, find_layer, make_layer
from builder.solver import keys as solver_keys
from builder.solver.report import Report
from builder.solver.solver import Solver
from builder.sources import epoch
from builder.sources.context import open_context
from builder.sources.definition import read_dockerfile, read_ignore
from builder.sources.resolver import Resolver, parse_contexts
from builder.store.store import Store
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.events import Emit, Flag
    from builder.exporters.spec import Output
    from builder.layers.codec import Compression
    from builder.layers.tree import Owners
    from builder.oci.assemble import Image, Layer
    from builder.oci.config import ImageConfig
    from builder.oci.descriptor import Descriptor
    from builder.sandbox.tiers import Tier
    from builder.snapshots.snapshot import Snapshot


_PROXIES = frozenset(
    spelled
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for spelled in (name, name.lower())
)


class Secret(NamedTuple):
    """A secret that a RUN may mount: `kind` is file or env, `value` the path or the variable's name."""

    id: str
    kind: str
    value: str


class BuildRequest(NamedTuple):
    """What to build: the options of `rbuild build`, under their names.

    `build_args` without a value are taken from the environment, as `--build-arg NAME` is.

    `offline` always holds: nothing but a RUN opens a socket yet.
    `build_contexts` are pairs of name and value; `jobs` None means as many as there are CPUs.
    `add_hosts` are name and address, `ulimits` name, soft and hard limit (-1: none), `shm_size` bytes (0: the default).
    `annotations` are pairs of a key, with the level before it where one is written (`index:`), and a value.
    `ssh` are pairs of id and the paths of a socket or of keys, none meaning the agent of the environment.
    """

    context: str = "."
    dockerfile: str | None = None
    target: str | None = None
    tags: tuple[str, ...] = ()
    build_args: tuple[tuple[str, str | None], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    build_contexts: tuple[tuple[str, str], ...] = ()
    outputs: tuple[Output, ...] = ()
    store: str | None = None
    isolation: str | None = None
    jobs: int | None = None
    no_cache: bool = False
    network: str = "default"
    compression: Compression = "gzip"
    offline: bool = False
    platforms: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    no_cache_filter: tuple[str, ...] = ()
    add_hosts: tuple[tuple[str, str], ...] = ()
    hostname: str = ""
    shm_size: int = 0
    ulimits: tuple[tuple[str, int, int], ...] = ()
    allow: frozenset[str] = frozenset()
    secrets: tuple[Secret, ...] = ()
    ssh: tuple[tuple[str, tuple[str, ...]], ...] = ()
    strict: bool = False


class BuildResult(NamedTuple):
    """`digest` is that of the manifest. `cached` and `executed` count steps."""

    name: str
    digest: str
    config_digest: str
    descriptor: Descriptor
    cached: int
    executed: int


class Never:
    """The Flag of a build that nobody stops."""

    def is_set(self) -> bool:
        return False


def nobody(event: events.Event) -> None:
    """The Emit that tells nobody."""


def build(request: BuildRequest, emit: Emit = nobody, cancelled: Flag | None = None) -> BuildResult:
    """Build one image, tag it, write the outputs. Raises BuildError.

    A build that has something to run moves this process into a user namespace of its own for good; the
    kernel allows that only while the process has one thread.
    """
    begin = time.monotonic()
    with Store.open(request.store) as store:
        work = _Work(request, store, emit, cancelled or Never())
        try:
            image = work.image(request.compression)
            work.publish(image)
            for output in request.outputs:
                work.export(output)
        finally:
            work.close()
        report = work.report
        emit(events.BuildFinished(time.monotonic(), time.monotonic() - begin, report.hits, report.executed))
    name = str(work.tags[0]) if work.tags else ""
    return BuildResult(name, image.manifest.digest, image.config.digest, image.manifest, report.hits, report.executed)


def plan_text(request: BuildRequest) -> str:
    """The plan of a build as text; nothing is run. Raises BuildError."""
    with Store.open(request.store) as store:
        planned = _Planned(request, store)
        planned.close()
    from builder.graph import text

    return text.dump(planned.plan.graph, [planned.plan.target])


class _Planned:
    """A request, read and lowered: no file has been copied, no process started."""

    def __init__(self, request: BuildRequest, store: Store) -> None:
        definition = read_dockerfile(request.context, request.dockerfile)
        named = parse_contexts(request.build_contexts)
        platform = host()
        self.file = definition.file
        given = ((name, os.environ.get(name) if value is None else value) for name, value in request.build_args)
        self.resolver = Resolver(store, named, platform)
        self.contexts = {"": open_context(request.context, read_ignore(request.context, definition.file))}
        for name, path in named.directories.items():
            self.contexts[name] = open_context(path, read_ignore(path), f"build context {name}")
        settings = lower.Settings(
            build_args={name: value for name, value in given if value is not None},
            labels=request.labels,
            contexts=frozenset(named.directories),
            replaced=frozenset(named.images),
            platform=platform,
            network="none" if request.network == "none" else "host",
            resolve=self.resolver.resolve,
        )
        self.plan = lower.lower(parse(definition.content, definition.file), request.target, settings)
        self.args = settings.build_args

    def close(self) -> None:
        """Give the descriptors of the contexts back: a process may build many times."""
        for context in self.contexts.values():
            context.close()


class _Work:
    """The parts of one build. The tier is chosen when something has to be done, not before."""

    def __init__(self, request: BuildRequest, store: Store, emit: Emit, cancelled: Flag) -> None:
        self._request = request
        self._store = store
        self._emit = emit
        self._cancelled = cancelled
        self._planned = _Planned(request, store)
        self._plan = self._planned.plan
        self._tier: Tier | None = None
        self._announced = False
        self._shared: str | None = None
        self._cache = NoCache(store) if request.no_cache else StepCache(store)
        self._executor = LocalExecutor(self._plan.graph, store, self._cache, solver_keys, self._settings())
        self._keys = solver_keys.all_keys(self._plan.graph, self._executor, [self._plan.target])
        self._executor.save_hashes()
        self._epoch = self._choose_epoch()
        self.report = Report(self._plan.graph, self._keys, emit)
        jobs = request.jobs or max(2, len(os.sched_getaffinity(0)))
        self._solver = Solver(self._plan.graph, self._keys, self._executor, self.report, cancelled, jobs)
        self.tags = [parse_reference(tag).or_latest() for tag in request.tags]

    def image(self, compression: Compression) -> Image:
        """The image with its documents. Nothing is run or packed when all its layers are known."""
        packing = Packing(self._epoch, compression)
        layers = [self._known_layer(digest, packing) for digest in self._plan.made]
        if not all(layers) or any(output.holds_rootfs for output in self._request.outputs):
            layers = self._pack(packing)
        self._announce()
        self._tell_cached()
        base = self._plan.base.layers if self._plan.base else ()
        return assemble(self._config(), [*base, *(layer for layer in layers if layer)])

    def close(self) -> None:
        self._planned.close()

    def publish(self, image: Image) -> None:
        """Documents first, names last: a name never stands for half an image."""
        self._store.blobs.put_bytes(image.config.media_type, image.config_bytes)
        self._store.blobs.put_bytes(image.manifest.media_type, image.manifest_bytes)
        for tag in self.tags:
            self._store.tags.set(str(tag), image.manifest)
        for name in [tag.familiar() for tag in self.tags] or [""]:
            self._emit(events.ImageReady(time.monotonic(), name, image.manifest.digest, image.size))

    def export(self, output: Output) -> None:
        """Write one output; `compression=` of it may ask for layers of another kind than the store's image has."""
        import sys

        from builder.exporters.exporter import Rootfs, StoredImage, exporter_for, output_names

        image = self.image(output.compression or self._request.compression)
        self._store.blobs.put_bytes(image.config.media_type, image.config_bytes)
        self._store.blobs.put_bytes(image.manifest.media_type, image.manifest_bytes)
        stored = StoredImage(self._store.blobs, image.manifest, output_names(output, tuple(self.tags)))
        rootfs = Rootfs(self._root, self._owners, self._epoch)
        exporter_for(output, rootfs).export(stored, sys.stdout.buffer)
        self._emit(events.Exported(time.monotonic(), output.kind, output.dest, image.manifest.digest))

    def _settings(self) -> ExecutorSettings:
        return ExecutorSettings(
            contexts=self._planned.contexts,
            images=self._planned.resolver.layers,
            owners=self._owners,
            warn=self._warn,
            tier=self._enter,
            output=self._output,
            logs=f"{self._store.root}/logs/{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}",
            room=self._room,
            proxies=tuple((name, value) for name, value in self._planned.args.items() if name in _PROXIES),
        )

    def _output(self, key: str, stream: int, line: bytes) -> None:
        self.report.output(key, stream, line)

    def _choose_epoch(self) -> int:
        base = self._plan.base
        return epoch.choose(self._planned.args, self._request.context, base.config.created if base else "")

    def _config(self) -> ImageConfig:
        """The config of the plan, dated: this build's history begins after that of the base."""
        created = epoch.rfc3339(self._epoch)
        config = self._plan.config
        old = len(self._plan.base.config.history) if self._plan.base else 0
        told = tuple(entry._replace(created=created) for entry in config.history[old:])
        return config._replace(created=created, history=(*config.history[:old], *told))

    def _known_layer(self, digest: str, packing: Packing) -> Layer | None:
        name = self._cache.find(self._keys[digest])
        return find_layer(self._store, name, packing) if name else None

    def _pack(self, packing: Packing) -> list[Layer | None]:
        """The layers of one chain of snapshots, several packed at a time.

        A layer that is known is taken only if it is of the very snapshot that the next one stands on: a
        step that was run twice may have made two different trees.
        """
        from concurrent.futures import ThreadPoolExecutor

        results = self._solve(self._plan.made)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="pack") as pool:
            return list(pool.map(lambda digest: self._pack_one(results[digest], packing), self._plan.made))

    def _pack_one(self, result: Result, packing: Packing) -> Layer:
        known = find_layer(self._store, result.id, packing)
        return known or make_layer(self._store, result.id, result.snapshot, self._owners(), packing, self._cancelled)

    def _solve(self, wanted: Sequence[str]) -> Mapping[str, Result]:
        self._enter()
        self._announce()
        return self._solver.solve(wanted)

    def _root(self) -> Snapshot:
        """The root file system of the image, for outputs that hold it and not its layers."""
        return self._solve([self._plan.target])[self._plan.target].snapshot

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
            needs_run = any(isinstance(op, ExecOp) for op in self._plan.graph.ops.values())
            # Not in tmp/ itself: what has no lease there, another build may sweep at any moment.
            with self._store.trees.scratch("probe") as place:
                self._tier = tiers.choose(self._request.isolation, needs_run, place)
                reason = tiers.notice(place)
            userns.enter(self._tier)
            self._store.sweep()
            if reason:
                self._warn(reason)
        return self._tier

    def _announce(self) -> None:
        """Tell what is known before the first step. A build that finds everything has no tier."""
        if not self._announced:
            self._announced = True
            steps = len(self._plan.graph.notes)
            self._emit(
                events.BuildStarted(time.monotonic(), self._planned.file, self._plan.stage, steps, self._tier or "")
            )
            for name in sorted(set(self._plan.unused_args) - _PROXIES - {epoch.NAME, "BUILDKIT_SYNTAX"}):
                self._warn(f"--build-arg {name} is not used by this Dockerfile")

    def _tell_cached(self) -> None:
        """Show what nobody had to look at, because a layer above it was known."""
        for digest, op in self._plan.graph.ops.items():
            if not makes_layer(op) or self._cache.find(self._keys[digest]):
                self.report.cached(digest)

    def _warn(self, message: str) -> None:
        self._emit(events.Notice(time.monotonic(), "warning", message))
