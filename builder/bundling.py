"""Everything that a Dockerfile needs from elsewhere, in one bundle for a host that has no network.

    request ─► plans of all stages and platforms ─► images (resolver), downloads and checkouts (fetcher)
            ─► sources of the bundle document, each with its blobs ─► less what an older bundle has ─► layout

What is on this machine anyway, the build context and directories of --build-context, is no part of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from builder.building import cached_steps
from builder.dockerfile.gitref import redacted
from builder.errors import BuildError, StoreError, UsageError
from builder.executor.local import asked
from builder.exporters.bundle import Piece, is_archive, write_bundle
from builder.graph.ops import GitOp, HttpOp
from builder.layers.tree import DIFF
from builder.oci import mediatypes
from builder.oci.bundle import (
    OCTETS,
    Bundle,
    CheckoutSource,
    FileSource,
    ImageSource,
    StepsSource,
    parse_bundle,
)
from builder.oci.bundle_layout import NOTHING, artifacts, index_of, manifest_of
from builder.oci.descriptor import Descriptor, describe
from builder.oci.digest import sha256_of
from builder.oci.platform import parse_platform
from builder.planning import Planned
from builder.snapshots.cached import steps_text
from builder.sources.bundle_file import open_bundle
from builder.store.images import read_manifest
from builder.store.store import Store
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.events import Flag
    from builder.graph.graph import Graph
    from builder.oci.platform import Platform
    from builder.request import BuildRequest
    from builder.snapshots.cached import CachedStep
    from builder.sources.fetched import Fetched
    from builder.sources.fetcher import Asked

_NO_CLAMP = 1 << 40  # seconds: later than any commit
_CHUNK = 1 << 20


class Never:
    """The Flag of what nobody stops."""

    def is_set(self) -> bool:
        return False


class BundleRequest(NamedTuple):
    """`build` tells Dockerfile, platforms and the like; `targets` none means every stage that can be built.

    `dest` is a directory, a file that ends in .tar, or "-"; `since` an older bundle of which nothing is repeated.
    With `cache` the steps of the targets, by default of the last stage, come along; they have to be built already.
    """

    build: BuildRequest
    dest: str
    targets: tuple[str, ...] = ()
    since: str = ""
    cache: bool = False


class Bundled(NamedTuple):
    """`written` are bytes of blobs that are in the bundle itself."""

    bundle: Bundle
    written: int
    warnings: tuple[str, ...] = ()


def bundle(request: BundleRequest, stdout: BinaryIO, cancelled: Flag | None = None) -> Bundled:
    """Fetch what is needed and write the bundle. Raises BuildError; the same sources give the same bytes."""
    is_archive(request.dest)
    old = _older(request.since)
    first = request.build._replace(target=request.targets[0] if request.targets else None)
    with Store.open(first.store) as store, Planned(first, store, cancelled or Never()) as planned:
        graph, roots = planned.surveyed(request.targets)
        _fetch(planned, graph, roots)
        _bring_layers(planned, cancelled or Never())
        work = _Collecting(store)
        for (name, platform), root in planned.resolver.roots.items():
            reference = planned.resolver.reference(name)
            work.add_image(name, str(reference or ""), platform, root)
        for one, found in planned.fetcher.found().items():
            work.add_fetched(one, found)
        if request.cache:
            _add_steps(work, request, planned, store, cancelled or Never())
        made = work.bundle().sorted()
        pieces = work.pieces
        if old:
            made = _less(made, *old)
            pieces = {digest: piece for digest, piece in pieces.items() if digest in dict(made.blobs)}
        pieces = {**pieces, **_documents(made)}
        parse_bundle(made.encode())  # what could not be read must not be written
        write_bundle(request.dest, index_of(made), pieces, stdout)
        warnings = [f"{need.place}: {need} is not locked; rbuild lock adds it" for need in planned.needs.unlocked]
        warnings += planned.search.warnings
    return Bundled(made, sum(piece.size for piece in pieces.values()), tuple(warnings))


def _older(path: str) -> tuple[Bundle, str] | None:
    if not path:
        return None
    file = open_bundle(path, verify=False)
    file.close()
    return file.bundle, file.identity


def _less(made: Bundle, old: Bundle, identity: str) -> Bundle:
    """`made` without the blobs that whoever has `old` has: those in it and those that it stands on."""
    known = {**dict(old.blobs), **dict(old.elsewhere)}
    own = tuple(blob for blob in made.blobs if blob[0] not in known)
    return made._replace(blobs=own, elsewhere=tuple(blob for blob in made.blobs if blob[0] in known), base=identity)


def _documents(made: Bundle) -> dict[str, Piece]:
    """What every bundle holds: its document with its manifest, and the empty object that artifacts name."""
    own = (made.encode(), manifest_of(made), NOTHING)
    return {sha256_of(content): Piece(len(content), "", content) for content in own}


def _fetch(planned: Planned, graph: Graph, roots: Sequence[str]) -> None:
    """Downloads and repositories, several at a time; the first that cannot be had is told with its place."""
    ops = {digest: op for digest in graph.order(roots) if isinstance(op := graph[digest], HttpOp | GitOp)}
    planned.fetcher.fetch_all(asked(op) for op in ops.values())
    for digest, op in ops.items():
        try:
            planned.fetcher.fetch(asked(op))
        except BuildError as error:
            error.span = error.span or (graph.notes[digest].span if digest in graph.notes else None)
            raise


def _bring_layers(planned: Planned, cancelled: Flag) -> None:
    layers = planned.resolver.layers
    for _, manifest in planned.resolver.pinned.values():
        for _ in layers.brought(manifest, layers.absent(manifest), lambda digest, current, total: None, cancelled):
            pass


def _add_steps(work: _Collecting, request: BundleRequest, planned: Planned, store: Store, cancelled: Flag) -> None:
    """The steps of every target: `planned` is the first, for the others the build is planned again."""
    first, *others = request.targets or (None,)
    build = request.build._replace(target=first)
    for stage, platform, steps in cached_steps(build, planned, store, cancelled):
        work.add_steps(stage, platform, steps)
    if others and "-" in (build.context, build.dockerfile):
        raise UsageError("--cache: what comes from standard input is read once", hint="bundle one --target at a time")
    for target in others:
        build = build._replace(target=target)
        with Planned(build, store, cancelled) as again:
            for stage, platform, steps in cached_steps(build, again, store, cancelled):
                work.add_steps(stage, platform, steps)


class _Collecting:
    """Sources with their blobs, `pieces` by digest, as they are found."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._images: dict[tuple[str, str, str], ImageSource] = {}
        self._files: list[FileSource] = []
        self._checkouts: list[CheckoutSource] = []
        self._steps: list[StepsSource] = []
        self.pieces: dict[str, Piece] = {}

    def bundle(self) -> Bundle:
        found = Bundle(tuple(self._images.values()), tuple(self._files), tuple(self._checkouts), tuple(self._steps))
        for digest, raw in artifacts(found).items():
            self.pieces[digest] = Piece(len(raw), "", raw)
        return found._replace(blobs=tuple((digest, piece.size) for digest, piece in self.pieces.items()))

    def add_image(self, name: str, reference: str, platform: str, root: Descriptor) -> None:
        """An image of the store, as it was resolved. The name of a context may end in `::platform`."""
        from builder.store.images import choose_manifest

        wanted = parse_platform(platform)
        manifest = choose_manifest(self._store.blobs, root, wanted).plain()
        size = sum(self._add_blob(blob) for blob in (manifest, *self._parts(manifest)))
        self._add_blob(root.plain())
        key = (reference or name, str(wanted), root.digest)
        names = {name.partition("::")[0], *(self._images[key].names if key in self._images else ())}
        self._images[key] = ImageSource(tuple(sorted(names)), reference, wanted, root.plain(), manifest, size)

    def _parts(self, manifest: Descriptor) -> list[Descriptor]:
        found = read_manifest(self._store.blobs, manifest)
        parts = {blob.digest: blob for blob in (found.config, *found.layers)}
        return [blob for blob in parts.values() if not mediatypes.may_be_absent(blob.media_type)]

    def _add_blob(self, blob: Descriptor) -> int:
        self.pieces[blob.digest] = Piece(blob.size, self._store.blobs.path(blob.digest))
        return blob.size

    def add_steps(self, stage: str, platform: Platform, steps: Sequence[CachedStep]) -> None:
        """A stage that adds nothing to its base has none."""
        if steps:
            content = steps_text(steps)
            blob = describe(OCTETS, content)
            self.pieces[blob.digest] = Piece(blob.size, "", content)
            for step in steps:
                self._add_blob(step.layer.descriptor)
            self._steps.append(StepsSource(stage, platform, len(steps), blob))

    def add_fetched(self, one: Asked, found: Fetched) -> None:
        if one.kind == "http":
            self._add_file(one.words[0], found)
        else:
            self._add_checkout(one, found)

    def _add_file(self, url: str, found: Fetched) -> None:
        _, sha256, name, _ = found.content
        path = f"{found.tree}/{DIFF}/{name}"
        blob = Descriptor(OCTETS, f"sha256:{sha256}", os.path.getsize(path))
        self.pieces[blob.digest] = Piece(blob.size, path)
        self._files.append(FileSource(redacted(url), found.time, blob))

    def _add_checkout(self, one: Asked, found: Fetched) -> None:
        from builder.sources.git import Wanted, clean_subdir

        wanted = Wanted(*one.words)
        blob = self._packed(found.tree, dated=wanted.commit_times)
        self._checkouts.append(
            CheckoutSource(
                remote=redacted(wanted.remote),
                ref=wanted.ref,
                subdir=clean_subdir(wanted.subdir),
                keep_git_dir=wanted.keep_git_dir,
                submodules=wanted.submodules,
                commit_times=wanted.commit_times,
                commit=found.content[1],
                name=found.content[6] if wanted.keep_git_dir else "",
                time=found.time,
                blob=blob,
            )
        )

    def _packed(self, tree: str, *, dated: bool) -> Descriptor:
        """The checkout as a compressed tar. The times of files count only where they are those of the commit."""
        from builder.layers.pack import pack_diff

        path = self._store.lease.staging("packed")
        clamp = _NO_CLAMP if dated else 0
        try:
            with open(path, "xb") as out:
                packed = pack_diff(tree, [], out, owners="recorded", clamp=clamp)
        except OSError as error:
            raise StoreError(f"cannot pack {tree}: {error.strerror or error}") from error
        self.pieces[packed.digest] = Piece(packed.size, path)
        return Descriptor(mediatypes.LAYER_GZIP, packed.digest, packed.size)
