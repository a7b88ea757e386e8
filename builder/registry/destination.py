"""Where an image is pushed to: what all its uploads know, whichever thread they run in."""

from __future__ import annotations

from _thread import allocate_lock
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.net.address import joined, origin_of, split, target_of
from builder.registry.errors import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from builder.errors import BuildError
    from builder.net.client import Answer
    from builder.oci.descriptor import Descriptor
    from builder.registry.endpoint import Endpoint
    from builder.registry.registry import Registry
    from builder.store.blobs import Blobs

# Bytes of one request, after the registry or the proxy before it has refused more: some take 100 MB, some 10.
LADDER = (64 << 20, 16 << 20, 5 << 20)
PUSH = "pull,push"


class Destination:
    """One repository. `limit` is how many bytes a request may carry, 0 while nothing was refused; `asks` says that
    nobody on the way has refused to be asked first (417; RFC 9110, 10.1.1).

    `provide` brings a blob into `blobs` that is not there yet; `lenders` tells which repository of the same
    registry has a blob; `moved` is told how far each blob is. `stopped` is set when an upload fails: the others need
    not go on.
    """

    def __init__(
        self,
        registry: Registry,
        endpoint: Endpoint,
        blobs: Blobs,
        provide: Callable[[Descriptor], None],
        lenders: Callable[[], Mapping[str, str]],
        moved: Callable[[str, int, int], None],
    ) -> None:
        self.client = registry.client
        self.endpoint = endpoint
        self.name = host_of(endpoint)
        self.blobs = blobs
        self.provide = provide
        self.moved = moved
        self.limit = 0
        self.asks = True
        self.stopped = False
        self._registry = registry
        self._lenders = lenders
        self._known: Mapping[str, str] | None = None
        self._guard = allocate_lock()

    @contextmanager
    def ask(
        self,
        method: str,
        place: str,
        step: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Callable[[], Iterable[bytes]] | None = None,
        accept: Sequence[int] = (),
        lender: str = "",
    ) -> Iterator[Answer]:
        """One request to the repository, `place` being a path below it or a whole address that it has given."""
        also = (lender,) if lender else ()
        with self._registry.request(
            self.endpoint, method, place, step=step, headers=headers, body=body, actions=PUSH, also=also, accept=accept
        ) as answer:
            yield answer

    def lender(self, digest: str) -> str:
        """A repository that a blob can be mounted from, "" where none is known."""
        with self._guard:
            if self._known is None:
                self._known = self._lenders()
        return self._known.get(digest, "")

    def shrink(self, length: int, least: int, answer: Answer, step: str) -> None:
        """Requests of `length` bytes are too large here: from now on they are smaller, if they can be."""
        with self._guard:
            smaller = next((size for size in LADDER if size < length), 0)
            if not smaller or length <= least:
                raise self.refusal(answer, step)
            self.limit = min(self.limit or smaller, smaller)

    def refusal(self, answer: Answer, step: str) -> BuildError:
        return self._registry.refusal(self.endpoint, step, answer)

    def resolve(self, asked: str, location: str) -> str:
        """Where a Location leads. A server behind a TLS proxy often does not know that it is: then it says http."""
        place = joined(asked, location)
        here, there = origin_of(asked), origin_of(place)
        if (here.scheme, there.scheme) == ("https", "http") and here.host == there.host:
            return f"https://{here}{target_of(split(place))}"
        return place
