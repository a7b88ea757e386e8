"""What the solver asks of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.events import Flag
    from builder.graph.graph import Note
    from builder.graph.ops import Op

R = TypeVar("R")


class Executor(Protocol, Generic[R]):
    """Does the work of ops. `R` is the result type, opaque to the solver; results are immutable."""

    def key(self, op: Op, input_keys: Sequence[str]) -> str:
        """The cache key: equal keys promise equal results. May read what the op reads from outside the graph."""
        ...

    def load(self, op: Op, key: str, inputs: Sequence[R]) -> R | None:
        """The result that an earlier execution left under `key`, or None when it has to be made."""
        ...

    def execute(self, op: Op, key: str, note: Note, inputs: Sequence[R], cancelled: Flag) -> R:
        """Make the result and keep it under `key`. Raises BuildError; stops soon after `cancelled` is set."""
        ...


class Observer(Protocol):
    """Is told of each step; calls come from several threads."""

    def cached(self, digest: str) -> None: ...

    def started(self, digest: str) -> None: ...

    def finished(self, digest: str, seconds: float) -> None: ...

    def failed(self, digest: str, seconds: float, message: str) -> None: ...

    def cancelled(self, digest: str) -> None: ...
