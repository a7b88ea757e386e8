"""Snapshot → layer: what the topmost tree changes, packed once and found again by record."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from builder.errors import Cancelled
from builder.oci import mediatypes
from builder.oci.assemble import Layer
from builder.oci.descriptor import Descriptor
from builder.store.paths import store_errors
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.events import Flag
    from builder.layers.codec import Compression
    from builder.layers.compress import Workers
    from builder.layers.tree import Owners
    from builder.snapshots.snapshot import Snapshot
    from builder.store.blobs import Ingest
    from builder.store.store import Store

# Part of every record's key: raised whenever the same tree would give other bytes, and so whenever another
# version of a compressing library is pinned that gives others (the golden digests tell).
FORMAT = 2

_UNCHANGED = "unchanged"  # the id, in records, of every tree that changes nothing
_MEDIA_TYPES = {"gzip": mediatypes.LAYER_GZIP, "zstd": mediatypes.LAYER_ZSTD, "none": mediatypes.LAYER}


class Packing(NamedTuple):
    """What the bytes of a layer depend on beside the tree. No time in them is later than `epoch` (seconds)."""

    epoch: int
    compression: Compression

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self.compression]


def find_layer(store: Store, snapshot: str, packing: Packing) -> Layer | None:
    """The layer that an earlier build packed from the snapshot of this id, if its blob is still there."""
    record = store.records.get(_key(snapshot, packing))
    if record is None or not store.blobs.has(str(record["digest"])):
        return None
    descriptor = Descriptor(packing.media_type, str(record["digest"]), int(str(record["size"])))
    return Layer(descriptor, str(record["diff_id"]))


def make_layer(
    store: Store,
    name: str,
    snapshot: Snapshot,
    owners: Owners,
    packing: Packing,
    cancelled: Flag,
    workers: Workers | None = None,
) -> Layer:
    """Pack the topmost tree of `snapshot` against those below it, into the store's blobs.

    A tree in which nothing changed is packed once for all.
    """
    names = [name] if os.listdir(f"{snapshot.trees[0]}/diff") else [name, _UNCHANGED]
    layer = find_layer(store, names[-1], packing) or _pack(store, snapshot, owners, packing, cancelled, workers)
    for known in names:
        remember_layer(store, known, packing, layer)
    return layer


def remember_layer(store: Store, snapshot: str, packing: Packing, layer: Layer) -> None:
    """What `find_layer` finds from now on."""
    record = {"digest": layer.descriptor.digest, "size": layer.descriptor.size, "diff_id": layer.diff_id}
    store.records.put(_key(snapshot, packing), record)


def _pack(
    store: Store, snapshot: Snapshot, owners: Owners, packing: Packing, cancelled: Flag, workers: Workers | None
) -> Layer:
    from builder.layers.pack import pack_diff

    with store_errors("pack a layer"), store.blobs.ingest(hashed=False) as ingest:
        packed = pack_diff(
            snapshot.trees[0],
            snapshot.trees[1:],
            _Stoppable(ingest, cancelled),
            owners=owners,
            clamp=packing.epoch,
            compression=packing.compression,
            workers=workers,
        )
        descriptor = ingest.commit(packing.media_type, packed.digest, packed.size)
    return Layer(descriptor, packed.diff_id)


class _Stoppable:
    """A writer that ends the packing when the build is stopped."""

    def __init__(self, out: Ingest, cancelled: Flag) -> None:
        self._out = out
        self._cancelled = cancelled

    def write(self, data: bytes) -> int:
        if self._cancelled.is_set():
            raise Cancelled("the build was stopped")
        return self._out.write(data)


def _key(snapshot: str, packing: Packing) -> str:
    text = json.dumps(["layer", FORMAT, snapshot, *packing], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
