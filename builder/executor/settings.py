"""What execution depends on beside the graph, and what keeps its results."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from builder.executor.authorities import Authorities
    from builder.executor.secrets import Secrets
    from builder.executor.traps import Refuse
    from builder.graph.ops import Op
    from builder.layers.tree import Owners
    from builder.sandbox.tiers import Tier
    from builder.sources.base_layers import BaseLayers
    from builder.sources.context import ContextTree
    from builder.sources.fetcher import Fetcher
    from builder.store.store import Store


class Keys(Protocol):
    """How keys are made of an op's own parts and the keys of its inputs (`builder.solver.keys`)."""

    def combine(self, op: Op, parts: Sequence[object], input_keys: Sequence[str]) -> str: ...

    def plain_key(self, op: Op, input_keys: Sequence[str]) -> str: ...


class Settings(NamedTuple):
    """`images` has the layers of each pinned image by manifest digest; `moved(key, digest, bytes so far, bytes)` is
    told when one of them comes from a registry.

    `tier` and `owners` are asked when a tree is looked for or made, not before: they may enter a user
    namespace. `output(key, stream, line)` is told every line of a RUN, and `logs` is where they are kept.
    `room` is a directory for what the steps of this build share. `proxies` and `authorities` reach a RUN but
    no key: they say how to fetch, not what. `secrets` and `agents` (the paths of --ssh by id) reach no key
    either. `fresh(key)` tells whether the cache mounts of a step begin anew. `refuse` is told of each trap.
    """

    contexts: Mapping[str, ContextTree]
    images: BaseLayers
    tier: Callable[[], Tier]
    owners: Callable[[], Owners]
    warn: Callable[[str], None]
    output: Callable[[str, int, bytes], None]
    moved: Callable[[str, str, int, int], None]
    logs: str
    room: Callable[[], str]
    proxies: tuple[tuple[str, str], ...]
    secrets: Secrets
    agents: Mapping[str, tuple[str, ...]]
    fresh: Callable[[str], bool]
    fetcher: Fetcher
    refuse: Refuse
    authorities: Authorities | None = None


class StepCache:
    """Finds the snapshots that any build has made; a strict one takes only what is known to hold no trap."""

    def __init__(self, store: Store, *, strict: bool = False) -> None:
        self._records = store.records
        self._strict = strict
        self._judged: set[str] = set()  # by this build itself

    def find(self, key: str) -> str | None:
        """The id of the snapshot that a key produced."""
        record = self._records.get(key)
        if not record or "snapshot" not in record:
            return None
        if self._strict and record.get("traps") != [] and key not in self._judged:
            return None
        return str(record["snapshot"])

    def names(self, key: str, owners: Owners) -> list[str]:
        """The ids that the snapshot of a key may have. Without a record nobody knows what traps it holds."""
        found = self.find(key)
        if self._strict:
            return [found] if found else []
        return [found, self.name(key, owners)] if found else [self.name(key, owners)]

    def name(self, key: str, owners: Owners) -> str:
        """The id for a snapshot about to be made. Each format has its own: a step that runs again may differ."""
        return f"{key}.{owners}"

    def remember(self, key: str, snapshot: str, traps: list[str]) -> None:
        self._judged.add(key)
        self._records.put(key, {"snapshot": snapshot, "traps": traps})

    def is_fresh(self, key: str) -> bool:
        """Whether the step of this key is to be run whatever is known, with new cache mounts."""
        return False


class NoCache(StepCache):
    """Finds only what this build has made itself; what it makes replaces what was known."""

    def __init__(self, store: Store, *, strict: bool = False) -> None:
        super().__init__(store, strict=strict)
        self._made: dict[str, str] = {}

    def find(self, key: str) -> str | None:
        return self._made.get(key)

    def name(self, key: str, owners: Owners) -> str:
        return f"{key[:40]}-{os.urandom(8).hex()}.{owners}"

    def remember(self, key: str, snapshot: str, traps: list[str]) -> None:
        self._made[key] = snapshot
        super().remember(key, snapshot, traps)

    def is_fresh(self, key: str) -> bool:
        return True


class PartialCache(NoCache):
    """A NoCache for the keys in `fresh`, which are told when they are known; for others a StepCache."""

    def __init__(self, store: Store, *, strict: bool = False) -> None:
        super().__init__(store, strict=strict)
        self.fresh: frozenset[str] = frozenset()

    def find(self, key: str) -> str | None:
        return super().find(key) if key in self.fresh else StepCache.find(self, key)

    def name(self, key: str, owners: Owners) -> str:
        return super().name(key, owners) if key in self.fresh else StepCache.name(self, key, owners)

    def is_fresh(self, key: str) -> bool:
        return key in self.fresh
