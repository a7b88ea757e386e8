"""Images of registries into the store: documents first, then what they name, several blobs at a time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import BuildError, Cancelled, DocumentError
from builder.events import Event, StepCancelled, StepFailed, StepFinished, StepStarted
from builder.oci import mediatypes
from builder.oci.index import parse_index
from builder.oci.manifest import parse_manifest
from builder.store.images import choose_manifest

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from builder.events import Emit
    from builder.oci.descriptor import Descriptor
    from builder.oci.manifest import Manifest
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from builder.registry.registry import Registry
    from builder.store.store import Store

AT_ONCE = 5
_DEPTH = 4  # an index may hold indexes, but not without end


def _silent(event: Event) -> None:
    del event


def pull(
    registry: Registry, reference: Reference, store: Store, platform: Platform | None = None, emit: Emit = _silent
) -> Descriptor:
    """Bring an image for a platform, or with None for all it is there for, into the store, and tag it there.

    Gives what the reference stands for. Blobs that the store has are not asked for.
    """
    wanted = reference.or_latest()
    documents = _Documents(registry, wanted, store)
    root = documents.root()
    manifests = documents.manifests(root) if platform is None else [documents.chosen(root, platform)]
    blobs = [blob for manifest in manifests for blob in (manifest.config, *manifest.layers)]
    layers(registry, wanted, store, blobs, emit)
    store.tags.set(str(wanted), root)
    return root


def documents(registry: Registry, reference: Reference, store: Store, platform: Platform) -> Descriptor:
    """Bring index, manifest and config of an image for a platform, without its layers, and tag it."""
    wanted = reference.or_latest()
    found = _Documents(registry, wanted, store)
    root = found.root()
    manifest = found.chosen(root, platform)
    layers(registry, wanted, store, [manifest.config])
    store.tags.set(str(wanted), root)
    return root


def layers(
    registry: Registry, reference: Reference, store: Store, blobs: Sequence[Descriptor], emit: Emit = _silent
) -> None:
    """Bring those blobs of an image that the store lacks, several at a time; the first failure ends them all."""
    missing = {blob.digest: blob for blob in blobs if not store.blobs.has(blob.digest)}
    if missing:
        _Blobs(registry, reference, store, emit).bring(list(missing.values()))


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

    def manifests(self, root: Descriptor, depth: int = _DEPTH) -> list[Manifest]:
        """All that an index leads to, in its order."""
        if root.media_type not in mediatypes.INDEXES:
            return [self._manifest(root)]
        if not depth:
            raise DocumentError(f"indexes within indexes, deeper than {_DEPTH}")
        children = parse_index(self.read(root), root.media_type).manifests
        return [manifest for child in children for manifest in self.manifests(child, depth - 1)]

    def _manifest(self, descriptor: Descriptor) -> Manifest:
        return parse_manifest(self.read(descriptor), descriptor.media_type)


class _Blobs:
    """Blobs of one image on their way into the store."""

    def __init__(self, registry: Registry, reference: Reference, store: Store, emit: Emit) -> None:
        import threading

        self._registry, self._store, self._emit = registry, store, emit
        self._endpoints = registry.routes.pull(reference)
        self._name = reference.familiar()
        self._stop: threading.Event = threading.Event()

    def bring(self, blobs: Sequence[Descriptor]) -> None:
        """All of them, or the first error. No thread is left behind."""
        from concurrent.futures import ThreadPoolExecutor

        errors: list[BaseException] = []

        def one(number: int) -> None:
            if self._stop.is_set():
                return
            try:
                self._bring_told(blobs[number], f"{number + 1}/{len(blobs)}")
            except BaseException as error:  # noqa: BLE001 (raised below, in the thread that asked)
                errors.append(error)
                self._stop.set()

        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pull") as pool:
            try:
                list(pool.map(one, range(len(blobs))))
            finally:
                self._stop.set()
        if errors:
            raise errors[0]

    def _bring_told(self, blob: Descriptor, which: str) -> None:
        what = "config" if blob.media_type in mediatypes.CONFIGS else "layer"
        step = f"[{self._name} {which}] {what} {blob.digest[7:19]} {blob.size / 1e6:.1f} MB"
        with told(self._emit, blob.digest[7:19], self._name, step):
            self._bring(blob)

    def _bring(self, blob: Descriptor) -> None:
        """Bytes that turn out to be wrong are asked for once more, if they came at the first go."""
        try:
            self._into_store(blob)
        except _Spoilt as spoilt:
            if spoilt.received > blob.size:
                raise spoilt.error from None
            self._once_more(blob)

    def _once_more(self, blob: Descriptor) -> None:
        try:
            self._into_store(blob)
        except _Spoilt as spoilt:
            raise spoilt.error from None

    def _into_store(self, blob: Descriptor) -> None:
        with self._store.blobs.ingest(expected=blob.size) as ingest:
            received = self._registry.blob(self._endpoints, blob, ingest, self._stop)
            try:
                ingest.commit(blob.media_type, blob.digest, blob.size)
            except DocumentError as error:
                raise _Spoilt(error, received) from error


class _Spoilt(Exception):
    def __init__(self, error: DocumentError, received: int) -> None:
        super().__init__(error.message)
        self.error, self.received = error, received


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
