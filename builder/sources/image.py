"""Images of the store as file trees: each layer is unpacked once and shared by all that use it."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import ArchiveError, Cancelled, StoreError
from builder.layers.tree import has_implied
from builder.oci.assemble import Layer
from builder.oci.digest import hex_of
from builder.oci.resolved import ResolvedImage
from builder.snapshots.snapshot import Snapshot
from builder.sources.base_layers import Halt, at_once
from builder.store.images import choose_manifest, read_config, read_manifest
from builder.store.paths import store_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from io import RawIOBase

    from builder.events import Flag
    from builder.layers.tree import Owners
    from builder.oci.descriptor import Descriptor
    from builder.oci.platform import Platform
    from builder.sources.base_layers import BaseLayers
    from builder.sources.remote import Moved
    from builder.store.store import Store

_CHUNK = 1 << 20


def resolve(name: str, descriptor: Descriptor, store: Store, platform: Platform) -> ResolvedImage:
    """The image that a tag's descriptor leads to, pinned for `platform`."""
    chosen = choose_manifest(store.blobs, descriptor, platform)
    manifest = read_manifest(store.blobs, chosen)
    config = read_config(store.blobs, manifest)
    layers = tuple(map(Layer, manifest.layers, config.diff_ids))
    return ResolvedImage(name, chosen.digest, config, layers)


def load_image(diff_ids: Sequence[str], store: Store, owners: Owners) -> Snapshot | None:
    """The unpacked layers, or None when one of them, or what belongs on top of them, is still to be made."""
    names = [hex_of(diff_id) for diff_id in reversed(diff_ids)]
    if not all(store.trees.exists("layers", owners, name) for name in names):
        return None
    snapshot = _stacked(names, store, owners)
    if not any(map(has_implied, snapshot.trees[:-1])):  # under the lowest there is nothing to be like
        return snapshot
    top = _attributes_name(names)
    return snapshot.over(store.trees.path("layers", owners, top)) if store.trees.exists("layers", owners, top) else None


def _stacked(names: Sequence[str], store: Store, owners: Owners) -> Snapshot:
    # A layer that comes twice, as empty ones do, is there once: see Snapshot.over.
    return Snapshot(tuple(store.trees.path("layers", owners, name) for name in dict.fromkeys(names)))


def _attributes_name(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest() + ".attributes"


def unpack_image(
    manifest: str, images: BaseLayers, store: Store, owners: Owners, cancelled: Flag, moved: Moved
) -> Snapshot:
    """Unpack the layers that are not there yet, each when its bytes are, several at once.

    Raises ArchiveError naming layer and entry, of the first that fails.
    """
    layers = images[manifest]
    wanted = {layer.diff_id: layer for layer in layers if not _is_there(layer, store, owners)}
    if wanted:
        stop = Halt(cancelled)
        coming = images.brought(manifest, [*wanted.values()], moved, stop)
        _unpack_layers(coming, len(wanted), stop, lambda layer: _unpack_once(layer, images, store, owners, stop))
    diff_ids = [layer.diff_id for layer in layers]
    snapshot = load_image(diff_ids, store, owners)
    if snapshot is None:
        _make_attributes([hex_of(diff_id) for diff_id in reversed(diff_ids)], store, owners)
        snapshot = load_image(diff_ids, store, owners)
    assert snapshot is not None
    return snapshot


def _make_attributes(names: Sequence[str], store: Store, owners: Owners) -> None:
    """The tree for the top of these layers (`builder.snapshots.implied`)."""
    from builder.snapshots.implied import make_attributes

    with store.trees.scratch("attributes") as staged, store_errors("make the directories that layers only imply"):
        make_attributes(_stacked(names, store, owners), staged, owners)
        store.trees.publish(staged, "layers", owners, _attributes_name(names))


def _is_there(layer: Layer, store: Store, owners: Owners) -> bool:
    return store.trees.exists("layers", owners, hex_of(layer.diff_id))


def _unpack_layers(coming: Iterator[Layer], count: int, stop: Halt, unpack: Callable[[Layer], None]) -> None:
    """The first failure stops the others; what it was is then told, and not that they were stopped."""
    from concurrent.futures import ThreadPoolExecutor

    started: list[Future[None]] = []
    stopped: BaseException | None = None
    with ThreadPoolExecutor(min(count, at_once()), thread_name_prefix="unpack") as pool:
        try:
            for layer in coming:
                started.append(pool.submit(unpack, layer))
        except BaseException as error:  # noqa: BLE001 (raised below, when no thread is left)
            stop.raised = True
            stopped = error
    ends = [*(future.exception() for future in started), stopped]
    for end in sorted(filter(None, ends), key=lambda end: isinstance(end, Cancelled)):
        raise end


def _unpack_once(layer: Layer, images: BaseLayers, store: Store, owners: Owners, stop: Halt) -> None:
    """Unless another image of this build had the same layer meanwhile."""
    with images.unpacking(layer.diff_id):
        if _is_there(layer, store, owners):
            return
        try:
            _unpack_layer(layer, store, owners, stop)
        except BaseException:
            stop.raised = True
            raise


def _unpack_layer(layer: Layer, store: Store, owners: Owners, cancelled: Flag) -> None:
    """Both digests are checked before the tree is published: the blob's by its reader, the diff ID here."""
    from builder.layers.unpack import unpack

    plain = _Hash(cancelled)
    with store.trees.scratch("layer") as staged:
        with store.blobs.open(layer.descriptor.digest) as blob, _named(layer.descriptor.digest, blob):
            unpack(blob, staged, owners=owners, watch=plain.update)
        if plain.digest() != layer.diff_id:
            raise ArchiveError(
                f"layer {layer.descriptor.digest} unpacks to {plain.digest()}, but the image config says "
                f"{layer.diff_id}",
                hint="the image is damaged or forged; load or pull it again",
            )
        store.trees.publish(staged, "layers", owners, hex_of(layer.diff_id))


@contextmanager
def _named(digest: str, blob: RawIOBase) -> Iterator[None]:
    """Errors say which layer it was. A wrong archive may be a damaged blob: its reader tells at its end."""
    try:
        yield
    except ArchiveError as error:
        while blob.read(_CHUNK):
            pass
        raise ArchiveError(f"layer {digest}: {error.message}", hint=error.hint) from error
    except StoreError as error:
        raise StoreError(f"layer {digest}: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise StoreError(f"layer {digest}: cannot unpack: {error.strerror}") from error


class _Hash:
    """Of a stream that passes by, until the build is stopped."""

    def __init__(self, cancelled: Flag) -> None:
        self._cancelled = cancelled
        self._hash = hashlib.sha256()

    def update(self, piece: bytes) -> None:
        if self._cancelled.is_set():
            raise Cancelled("the build was stopped")
        self._hash.update(piece)

    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()
