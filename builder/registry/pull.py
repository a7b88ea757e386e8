"""Images of registries into the store: documents first, then what they name, several blobs at a time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import BuildError, Cancelled, DocumentError
from builder.events import Event, Notice, StepCancelled, StepFailed, StepFinished, StepStarted, StepTransfer
from builder.oci import mediatypes
from builder.oci.index import parse_index
from builder.oci.json import MOST
from builder.oci.manifest import parse_manifest
from builder.oci.platform import Platform
from builder.registry.documents import explain
from builder.registry.errors import host_of
from builder.store.images import check_image, choose_manifest, naming, read_config
from builder.values import NamedTuple

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from builder.events import Emit
    from builder.oci.config import ImageConfig
    from builder.oci.descriptor import Descriptor
    from builder.oci.manifest import Manifest
    from builder.oci.reference import Reference
    from builder.registry.endpoint import Endpoint
    from builder.registry.registry import Registry
    from builder.store.blobs import Ingest
    from builder.store.store import Store

    Moved = Callable[[str, int, int], None]

AT_ONCE = 5
_TOLD = 0.2  # seconds between two words of how far a blob is
_DEPTH = 4  # an index may hold indexes, but not without end


def silent(event: Event) -> None:
    del event


def _unmoved(digest: str, current: int, total: int) -> None:
    del digest, current, total


def pull(
    registry: Registry, reference: Reference, store: Store, platform: Platform | None = None, emit: Emit = silent
) -> Descriptor:
    """Bring an image for a platform, or with None for all it is there for, into the store, and tag it there.

    Gives what the reference stands for. Blobs that the store has are not asked for.
    """
    wanted = reference.or_latest()

    def moved(digest: str, current: int, total: int) -> None:
        emit(StepTransfer(time.monotonic(), str(wanted), digest, current, total))

    with told(emit, str(wanted), "", f"[pull] {wanted.familiar()}"):
        found = _Documents(registry, wanted, store)
        root = found.root()
        with naming(wanted.familiar()):
            manifests = found.manifests(root) if platform is None else [found.chosen(root, platform)]
        blobs = [blob for manifest in manifests for blob in (manifest.config, *manifest.layers)]
        foreign = [blob for blob in blobs if mediatypes.may_be_absent(blob.media_type)]
        layers(registry, wanted, store, [blob for blob in blobs if blob not in foreign], moved)
        found.check(manifests)
        store.tags.set(str(wanted), root)
    for blob in foreign:
        _warn(emit, f"{wanted.familiar()}: layer {blob.digest} is a foreign one ({blob.media_type}): it is left out")
    if platform is not None and root.media_type in mediatypes.MANIFESTS:
        _warn_of_platform(wanted, read_config(store.blobs, manifests[0]), platform, emit)
    return root


def _warn(emit: Emit, message: str) -> None:
    emit(Notice(time.monotonic(), "warning", message))


def _warn_of_platform(reference: Reference, config: ImageConfig, platform: Platform, emit: Emit) -> None:
    """An image that is there for one platform is taken whatever that is, as `store.images.choose_manifest` says."""
    offered = Platform(config.os, config.architecture, config.variant)
    if platform.rank(offered) is None:
        _warn(emit, f"{reference.familiar()} is there for {offered} alone, not for {platform}")


def documents(registry: Registry, reference: Reference, store: Store, platform: Platform) -> Descriptor:
    """Bring index, manifest and config of an image for a platform, without its layers, and tag it."""
    wanted = reference.or_latest()
    found = _Documents(registry, wanted, store)
    root = found.root()
    manifest = found.chosen(root, platform)
    layers(registry, wanted, store, [manifest.config])
    found.check([manifest])
    store.tags.set(str(wanted), root)
    return root


def complete(registry: Registry, reference: Reference, store: Store, root: Descriptor, platform: Platform) -> None:
    """Bring the documents for a platform of an image whose index or manifest is known. No tag is set."""
    manifest = _Documents(registry, reference, store).chosen(root, platform)
    layers(registry, reference, store, [manifest.config])


def layers(
    registry: Registry, reference: Reference, store: Store, blobs: Sequence[Descriptor], moved: Moved = _unmoved
) -> None:
    """Bring those blobs of an image that the store lacks, several at a time; the first failure ends them all.

    `moved(digest, bytes so far, bytes)` is told now and then, from several threads, and of each at its end.
    """
    missing = {blob.digest: blob for blob in blobs if not store.blobs.has(blob.digest)}
    if missing:
        _Blobs(registry, reference, store, moved).bring(list(missing.values()))


class _Documents:
    """Reads the documents of one image, from the store, and first from the registry where they are not there."""

    def __init__(self, registry: Registry, reference: Reference, store: Store) -> None:
        self._registry, self._reference, self._store = registry, reference, store

    def root(self) -> Descriptor:
        """What the reference stands for now: the registry is always asked."""
        _, found, raw = self._registry.manifest(self._reference)
        return self._store.blobs.put_bytes(found.media_type, raw)

    def read(self, descriptor: Descriptor) -> bytes:
        if self._store.blobs.has(descriptor.digest):
            return self._store.blobs.read(descriptor)
        named = self._reference._replace(tag="", digest=descriptor.digest)
        _, found, raw = self._registry.manifest(named, descriptor)
        self._store.blobs.put_bytes(found.media_type, raw)
        return raw

    def chosen(self, root: Descriptor, platform: Platform) -> Manifest:
        return self._manifest(choose_manifest(self, root, platform))

    def manifests(self, root: Descriptor) -> list[Manifest]:
        """All that an index leads to, in its order, each once: indexes that name one another's many times multiply."""
        return list(self._below(root, set(), _DEPTH))

    def _below(self, root: Descriptor, seen: set[str], depth: int) -> Iterator[Manifest]:
        if root.digest in seen:
            return
        seen.add(root.digest)
        if len(seen) > MOST:
            raise DocumentError(f"an index of more than {MOST} manifests")
        if root.media_type not in mediatypes.INDEXES:
            yield self._manifest(root)
            return
        if not depth:
            raise DocumentError(f"indexes within indexes, deeper than {_DEPTH}")
        for child in parse_index(self.read(root), root.media_type).manifests:
            yield from self._below(child, seen, depth - 1)

    def check(self, manifests: Sequence[Manifest]) -> None:
        """DocumentError, before it gets a name, for what no build and no listing could use."""
        try:
            for manifest in manifests:
                check_image(self._store.blobs, manifest, alone=len(manifests) == 1)
        except DocumentError as error:
            raise explain(error, self._reference.familiar()) from error

    def _manifest(self, descriptor: Descriptor) -> Manifest:
        return parse_manifest(self.read(descriptor), descriptor.media_type)


class _Blobs:
    """Blobs of one image on their way into the store."""

    def __init__(self, registry: Registry, reference: Reference, store: Store, moved: Moved) -> None:
        import threading

        self._registry, self._store, self._moved = registry, store, moved
        self._endpoints = registry.routes.pull(reference)
        self._stop: threading.Event = threading.Event()

    def bring(self, blobs: Sequence[Descriptor]) -> None:
        """All of them, or the first error. No thread is left behind."""
        if len(blobs) == 1:
            self._bring(blobs[0])
            return
        from concurrent.futures import ThreadPoolExecutor

        errors: list[BaseException] = []

        def one(blob: Descriptor) -> None:
            if self._stop.is_set():
                return
            try:
                self._bring(blob)
            except BaseException as error:  # noqa: BLE001 (raised below, in the thread that asked)
                errors.append(error)
                self._stop.set()

        with ThreadPoolExecutor(min(AT_ONCE, len(blobs)), thread_name_prefix="pull") as pool:
            try:
                list(pool.map(one, blobs))
            finally:
                self._stop.set()
        if errors:
            raise errors[0]

    def _bring(self, blob: Descriptor) -> None:
        """Bytes that turn out to be wrong are asked for once more, of the next server, if they came at the first go."""
        spoilt = self._into_store(blob, self._endpoints)
        if spoilt and spoilt.received <= blob.size:
            spoilt = self._into_store(blob, self._endpoints[1:] or self._endpoints, spoilt.received)
        if spoilt:
            raise spoilt.error
        self._moved(blob.digest, blob.size, blob.size)

    def _into_store(self, blob: Descriptor, endpoints: Sequence[Endpoint], before: int = 0) -> _Spoilt | None:
        received = before + blob.size
        with self._store.blobs.ingest(expected=blob.size) as ingest:
            sink = _Told(ingest, blob, self._moved)
            try:
                received = self._registry.blob(endpoints, blob, sink, self._stop, before)
                ingest.commit(blob.media_type, blob.digest, blob.size)
            except DocumentError as error:
                return _Spoilt(explain(error, f"{host_of(endpoints[-1])}: GET blob"), received)
        return None


class _Spoilt(NamedTuple):
    """What came, in how many bytes, is not the blob."""

    error: DocumentError
    received: int


class _Told:
    """Passes a blob on, and tells now and then how far it is; not of its end, which is when it is in the store."""

    def __init__(self, ingest: Ingest, blob: Descriptor, moved: Moved) -> None:
        self._ingest, self._blob, self._moved = ingest, blob, moved
        self._written = 0
        self._next = time.monotonic() + _TOLD

    def write(self, chunk: bytes, /) -> int:
        count = self._ingest.write(chunk)
        self._written += count
        if self._written < self._blob.size and time.monotonic() >= self._next:
            self._next = time.monotonic() + _TOLD
            self._moved(self._blob.digest, self._written, self._blob.size)
        return count


@contextmanager
def told(emit: Emit, key: str, stage: str, step: str) -> Iterator[None]:
    """Tell of the beginning and the end of a transfer."""
    begin = time.monotonic()
    emit(StepStarted(begin, key, stage, step, None))
    try:
        yield
    except Cancelled:
        emit(StepCancelled(time.monotonic(), key, stage, step))
        raise
    except BuildError as error:
        now = time.monotonic()
        emit(StepFailed(now, key, stage, step, now - begin, error.message))
        raise
    now = time.monotonic()
    emit(StepFinished(now, key, stage, step, now - begin))


class Outline(NamedTuple):
    """`blobs` are the configs and layers of what `root` leads to, each once; foreign layers are left out."""

    root: Descriptor
    blobs: tuple[Descriptor, ...]


def outline(registry: Registry, reference: Reference, store: Store, platform: Platform | None) -> Outline:
    """Bring the documents of an image alone, and tell what else belongs to it. With a platform, the manifest for it.

    No tag is set.
    """
    documents = _Documents(registry, reference.or_latest(), store)
    root = documents.root()
    if platform is not None:
        with naming(reference.familiar()):
            root = choose_manifest(documents, root, platform)
    blobs = {
        blob.digest: blob
        for manifest in documents.manifests(root)
        for blob in (manifest.config, *manifest.layers)
        if not mediatypes.may_be_absent(blob.media_type)
    }
    return Outline(root.plain(), tuple(blobs.values()))
