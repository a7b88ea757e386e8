"""Servers are asked in turn: what one does not give, the next may."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from builder.errors import AuthError, BuildError, DocumentError, NetworkError, RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.registry.endpoint import Endpoint

T = TypeVar("T")
_NEXT = (AuthError, NetworkError, RegistryError, DocumentError)


class Turns:
    """Remembers, for a command or a build, which mirrors could not be reached: nobody waits for them twice."""

    def __init__(self) -> None:
        self._dead: dict[str, BuildError] = {}

    def take(self, endpoints: Sequence[Endpoint], attempt: Callable[[Endpoint], T]) -> T:
        """What `attempt` gives for the first endpoint that it does not fail for.

        Raises the error of the last endpoint, which is the registry itself, with the reasons of those before it.
        """
        failed: list[tuple[Endpoint, BuildError]] = []
        for endpoint in endpoints[:-1]:
            try:
                return self._of_mirror(endpoint, attempt)
            except _NEXT as error:
                failed.append((endpoint, error))
        try:
            return attempt(endpoints[-1])
        except _NEXT as error:
            with_reasons(error, failed)
            raise

    def _of_mirror(self, endpoint: Endpoint, attempt: Callable[[Endpoint], T]) -> T:
        dead = self._dead.get(endpoint.base)
        if dead is not None:
            raise dead
        try:
            return attempt(endpoint)
        except NetworkError as error:
            self._dead[endpoint.base] = error
            raise


def with_reasons(error: BuildError, failed: Sequence[tuple[Endpoint, BuildError]]) -> None:
    """Let `error` tell also of the mirrors that were asked before: a line for each."""
    for endpoint, other in failed:
        error.message += f"\nbefore it, mirror {endpoint.name}: {other.message.splitlines()[0]}"
    error.args = (error.message,)
