"""Snapshots of a plan → its own layers: those that an earlier build packed, and the packing of the others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.snapshots.convert import find_layer, make_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from builder.events import Flag
    from builder.executor.local import Result
    from builder.layers.compress import Workers
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
        """The layers of one chain of snapshots, several packed at a time; the first failure ends all.

        A layer that is known is taken only if it is of the very snapshot that the next one stands on: a
        step that was run twice may have made two different trees.
        """
        from concurrent.futures import ThreadPoolExecutor, as_completed

        from builder.layers.compress import Workers

        stop = _Stop(self._cancelled)
        with Workers() as workers, ThreadPoolExecutor(_layers_at_once(), thread_name_prefix="pack") as pool:
            jobs = [pool.submit(self._pack_one, result, packing, workers, stop) for result in results]
            try:
                for job in as_completed(jobs):
                    job.result()
            except BaseException:
                stop.failed = True
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return [job.result() for job in jobs]

    def _pack_one(self, result: Result, packing: Packing, workers: Workers, stop: Flag) -> Layer:
        return find_layer(self._store, result.id, packing) or make_layer(
            self._store, result.id, result.snapshot, self._owners(), packing, stop, workers
        )


class _Stop:
    """Ends the packing of all layers when the build is stopped or one of them failed."""

    def __init__(self, cancelled: Flag) -> None:
        self._cancelled = cancelled
        self.failed = False

    def is_set(self) -> bool:
        return self.failed or self._cancelled.is_set()


def _layers_at_once() -> int:
    # Each reads and hashes in threads of its own, and holds some MiB; they compress with the same workers.
    return min(len(os.sched_getaffinity(0)), 4)
