"""The layers of pinned images: in the store, or brought from where the image is, when something needs their bytes."""

from __future__ import annotations

import os
from _thread import allocate_lock
from contextlib import contextmanager
from threading import Semaphore
from typing import TYPE_CHECKING

from builder.errors import Cancelled, NotSupported
from builder.oci import mediatypes
from builder.values import NamedTuple

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future

    from builder.events import Flag
    from builder.oci.assemble import Layer
    from builder.oci.descriptor import Descriptor
    from builder.oci.reference import Reference
    from builder.oci.resolved import ResolvedImage
    from builder.sources.remote import Moved, Remote
    from builder.store.store import Store

_AT_ONCE = 6
_UNPACKED_AT_ONCE = 4
_LOOK = 0.2  # seconds between two looks at whether the build was stopped


class Halt:
    """The Flag of transfers: set when the user stops the build, or when nobody wants them any more."""

    def __init__(self, user: Flag) -> None:
        self._user = user
        self.raised = False

    def is_set(self) -> bool:
        return self.raised or self._user.is_set()


class Pinned(NamedTuple):
    """`reference` says where layers are that are not in the store; None for an image that is whole."""

    reference: Reference | None
    layers: tuple[Layer, ...]


class BaseLayers:
    """Of one build, by digest of the manifest. What two images share comes once. May be used from any thread."""

    def __init__(self, store: Store, remote: Remote, halt: Halt) -> None:
        self._blobs = store.blobs
        self._remote = remote
        self._halt = halt
        self._images: dict[str, Pinned] = {}
        self._guard = allocate_lock()
        self._locks: dict[str, LockType] = {}
        self._room = Semaphore(at_once())

    def add(self, image: ResolvedImage, reference: Reference | None) -> None:
        self._images.setdefault(image.manifest, Pinned(reference, image.layers))

    def __getitem__(self, manifest: str) -> tuple[Layer, ...]:
        return self._images[manifest].layers

    def absent(self, manifest: str) -> list[Layer]:
        """The layers that an image needs to be whole and that are not in the store: foreign ones need not be."""
        needed = (layer for layer in self[manifest] if not mediatypes.may_be_absent(layer.descriptor.media_type))
        return [layer for layer in needed if not self._blobs.has(layer.descriptor.digest)]

    def brought(self, manifest: str, layers: Sequence[Layer], moved: Moved, stop: Flag) -> Iterator[Layer]:
        """These layers of an image, each as soon as it is in the store; several come at once.

        Raises BuildError; then, and where the caller does not take them all, no transfer goes on.
        """
        absent = {layer.descriptor.digest: layer for layer in layers if not self._blobs.has(layer.descriptor.digest)}
        reference = self._images[manifest].reference
        if not absent or reference is None:
            yield from layers
            return
        from concurrent.futures import ThreadPoolExecutor

        yield from (layer for layer in layers if layer.descriptor.digest not in absent)
        with ThreadPoolExecutor(min(_AT_ONCE, len(absent)), thread_name_prefix="pull") as pool:
            coming = {
                pool.submit(self._bring, reference, layer.descriptor, moved): digest for digest, layer in absent.items()
            }
            try:
                for digest in _arriving(coming, stop):
                    yield from (layer for layer in layers if layer.descriptor.digest == digest)
            except BaseException:
                self._halt.raised = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    @contextmanager
    def unpacking(self, diff_id: str) -> Iterator[None]:
        """Nobody else in this process unpacks this layer meanwhile, and few unpack any."""
        with self._lock(diff_id), self._room:
            yield

    def _bring(self, reference: Reference, layer: Descriptor, moved: Moved) -> None:
        if mediatypes.may_be_absent(layer.media_type):
            raise NotSupported(
                f"image {reference.familiar()}: layer {layer.digest} is a foreign one ({layer.media_type}), which "
                "registries do not hold",
                hint="such layers are not fetched from elsewhere; use an image without them",
            )
        with self._lock(layer.digest):
            if not self._blobs.has(layer.digest):
                self._remote.layer(reference, layer, moved)

    def _lock(self, digest: str) -> LockType:
        with self._guard:
            return self._locks.setdefault(digest, allocate_lock())


def _arriving(coming: dict[Future[None], str], stop: Flag) -> Iterator[str]:
    """The digests of what has come, as it comes."""
    from concurrent.futures import FIRST_COMPLETED, wait

    while coming:
        done, _ = wait(coming, _LOOK, FIRST_COMPLETED)
        for future in [future for future in coming if future in done]:
            future.result()
            yield coming.pop(future)
        if coming and not done and stop.is_set():
            raise Cancelled("the build was stopped")


def at_once() -> int:
    """How many layers are unpacked at a time: more would only wait for each other's disk and memory."""
    return min(len(os.sched_getaffinity(0)), _UNPACKED_AT_ONCE)
