"""Snapshots of a plan → its own layers: those that an earlier build packed, and the packing of the others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.snapshots.convert import find_layer, make_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from builder.events import Flag
    from builder.executor.local import Result
    from builder.layers.tree import Owners
    from builder.oci.assemble import Layer
    from builder.snapshots.convert import Packing
    from builder.store.store import Store


class Packer:
    """`owners` is asked when something has to be packed, not before: it may enter a user namespace."""

    def __init__(self, store: Store, owners: Callable[[], Owners], cancelled: Flag) -> None:
        self._store = store
        self._owners = owners
        self._cancelled = cancelled

    def known(self, snapshots: Iterable[str | None], packing: Packing) -> list[Layer | None]:
        """The layer of each snapshot id, None for one that nobody has packed or whose id is not known."""
        return [find_layer(self._store, name, packing) if name else None for name in snapshots]

    def pack(self, results: Sequence[Result], packing: Packing) -> list[Layer | None]:
        """The layers of one chain of snapshots, several packed at a time.

        A layer that is known is taken only if it is of the very snapshot that the next one stands on: a
        step that was run twice may have made two different trees.
        """
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="pack") as pool:
            return list(pool.map(lambda result: self._pack_one(result, packing), results))

    def _pack_one(self, result: Result, packing: Packing) -> Layer:
        known = find_layer(self._store, result.id, packing)
        return known or make_layer(self._store, result.id, result.snapshot, self._owners(), packing, self._cancelled)
