"""Images of the store as file trees: each layer is unpacked once and shared by all that use it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from builder.errors import ArchiveError, Cancelled
from builder.oci.assemble import Layer
from builder.oci.digest import hex_of
from builder.oci.resolved import ResolvedImage
from builder.snapshots.snapshot import Snapshot
from builder.store.images import choose_manifest, read_config, read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.events import Flag
    from builder.layers.tree import Owners
    from builder.oci.descriptor import Descriptor
    from builder.oci.platform import Platform
    from builder.sources.base_layers import BaseLayers
    from builder.sources.remote import Moved
    from builder.store.store import Store


def resolve(name: str, descriptor: Descriptor, store: Store, platform: Platform) -> ResolvedImage:
    """The image that a tag's descriptor leads to, pinned for `platform`."""
    chosen = choose_manifest(store.blobs, descriptor, platform)
    manifest = read_manifest(store.blobs, chosen)
    config = read_config(store.blobs, manifest)
    layers = tuple(map(Layer, manifest.layers, config.diff_ids))
    return ResolvedImage(name, chosen.digest, config, layers)


def load_image(diff_ids: Sequence[str], store: Store, owners: Owners) -> Snapshot | None:
    """The unpacked layers, or None when one of them is still to be unpacked."""
    names = [hex_of(diff_id) for diff_id in reversed(diff_ids)]
    if not all(store.trees.exists("layers", owners, name) for name in names):
        return None
    return Snapshot(tuple(store.trees.path("layers", owners, name) for name in names))


def unpack_image(
    manifest: str, images: BaseLayers, store: Store, owners: Owners, cancelled: Flag, moved: Moved
) -> Snapshot:
    """Unpack the layers that are not there yet, each when its bytes are. Raises ArchiveError naming layer and entry."""
    layers = images[manifest]
    wanted = [layer for layer in layers if not store.trees.exists("layers", owners, hex_of(layer.diff_id))]
    for layer in images.brought(manifest, wanted, moved, cancelled):
        _unpack_layer(layer, store, owners, cancelled)
    snapshot = load_image([layer.diff_id for layer in layers], store, owners)
    assert snapshot is not None
    return snapshot


def _unpack_layer(layer: Layer, store: Store, owners: Owners, cancelled: Flag) -> None:
    """Both digests are checked before the tree is published: the blob's by its reader, the diff ID here."""
    from builder.layers.unpack import unpack

    digest = layer.descriptor.digest
    plain = _Hash(cancelled)
    with store.trees.scratch("layer") as staged:
        with store.blobs.open(digest) as blob:
            try:
                unpack(blob, staged, owners=owners, watch=plain.update)
            except ArchiveError as error:
                raise ArchiveError(f"layer {digest}: {error.message}", hint=error.hint) from error
        if plain.digest() != layer.diff_id:
            raise ArchiveError(
                f"layer {digest} unpacks to {plain.digest()}, but the image config says {layer.diff_id}",
                hint="the image is damaged or forged; load or pull it again",
            )
        store.trees.publish(staged, "layers", owners, hex_of(layer.diff_id))


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
