"""The whole build on one page: with work.py, which does the work, the only place where meaning and matter meet.

Dockerfile ─► plans ─► keys ─► layers that are known already        (one plan for each platform,
                               └─ the others: solve ─► pack          all over one graph)
           ─► images ─► index ─► store, tags ─► outputs
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from builder import events
from builder.errors import BuildError
from builder.graph.ops import ImageOp
from builder.oci.descriptor import CREATED
from builder.oci.reference import parse_reference
from builder.planning import Planned
from builder.request import BuildResult
from builder.snapshots.convert import Packing
from builder.sources import epoch
from builder.store.store import Store
from builder.work import Work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.dockerfile.state import Plan
    from builder.events import Emit, Flag
    from builder.executor.authorities import Authorities
    from builder.exporters.exporter import Exporter, Rootfs
    from builder.exporters.spec import Output
    from builder.images import Built
    from builder.oci.platform import Platform
    from builder.request import BuildRequest
    from builder.snapshots.cached import CachedStep


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
        work = Work(request, planned, store, emit, cancelled or Never(), authorities)
        publication = _Publication(work)
        try:
            built = work.built(request.compression)
            if [output.kind for output in request.outputs] != ["cacheonly"]:
                publication.publish(built)
                for output in request.outputs:
                    publication.export(output)
        except BuildError as error:
            work.secrets.mask_error(error)
            raise
        report = work.report
        emit(events.BuildFinished(time.monotonic(), time.monotonic() - begin, report.hits, report.executed))
    name = str(publication.tags[0]) if publication.tags else ""
    result = built.result.annotated((CREATED, publication.created))
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
    work = Work(request, planned, store, nobody, cancelled, None)
    return [
        (plan.stage, platform, work.cached(plan, Packing(when, request.compression)))
        for plan, platform, when in zip(planned.plans, planned.platforms, work.epochs, strict=True)
    ]


class _Publication:
    """What becomes of the images: the store, their names, the outputs."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.tags = [parse_reference(tag).or_latest() for tag in work.request.tags]

    @property
    def created(self) -> str:
        return epoch.rfc3339(max(self._work.epochs))

    def publish(self, built: Built) -> None:
        """Layers and documents first, names last: a name never stands for half an image."""
        for plan in self._work.planned.plans:
            self._bring(plan)
        self._put(built)
        for tag in self.tags:
            self._work.store.tags.set(str(tag), built.result)
        for name in [tag.familiar() for tag in self.tags] or [""]:
            self._work.emit(events.ImageReady(time.monotonic(), name, built.result.digest, built.size))

    def _bring(self, plan: Plan) -> None:
        """The layers of the base that no step needed, shown as the work of its FROM."""
        if plan.base is None or not (absent := self._work.planned.resolver.layers.absent(plan.base.manifest)):
            return
        manifest = plan.base.manifest
        op = next(
            key for key, op in self._work.graph.ops.items() if isinstance(op, ImageOp) and op.manifest == manifest
        )
        with self._work.report.during(op) as moved:
            for _ in self._work.planned.resolver.layers.brought(manifest, absent, moved, self._work.cancelled):
                pass

    def _put(self, built: Built) -> None:
        for image in built.images:
            self._work.store.blobs.put_bytes(image.config.media_type, image.config_bytes)
            self._work.store.blobs.put_bytes(image.manifest.media_type, image.manifest_bytes)
        if built.index_bytes:
            self._work.store.blobs.put_bytes(built.result.media_type, built.index_bytes)

    def export(self, output: Output) -> None:
        """Write one output; `compression=` of it may ask for layers of another kind than the store's image has."""
        import sys

        from builder.exporters.exporter import StoredImage, output_names

        built = self._work.built(output.compression or self._work.request.compression)
        self._put(built)
        own = self._work.annotations.of("index-descriptor")
        result = built.result.annotated(*own) if own else built.result
        stored = StoredImage(self._work.store.blobs, result, output_names(output, tuple(self.tags)))
        self._exporter(output).export(stored, sys.stdout.buffer)
        if not output.is_image:
            self._work.emit(events.Exported(time.monotonic(), output.kind, output.dest, built.result.digest))

    def _exporter(self, output: Output) -> Exporter:
        if output.is_image:
            from builder.exporters.image import ImageExporter

            return ImageExporter(
                output, self._work.store, self._work.request.registry, self._work.emit, self._work.cancelled
            )
        from builder.exporters.exporter import exporter_for

        return exporter_for(output, self._roots())

    def _roots(self) -> list[tuple[str, Rootfs]]:
        """The root file system of each platform, for outputs that hold it and not its layers."""
        from builder.exporters.exporter import Rootfs

        def rootfs(plan: Plan, when: int) -> Rootfs:
            return Rootfs(lambda: self._work.solve([plan.target])[plan.target].snapshot, self._work.owners, when)

        roots = [rootfs(plan, when) for plan, when in zip(self._work.planned.plans, self._work.epochs, strict=True)]
        names = [str(platform) for platform in self._work.planned.platforms]
        return list(zip(names, roots, strict=True))
