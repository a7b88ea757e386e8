"""Looking at a registry without bringing anything into the store: tags of a repository, a config."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.errors import DocumentError, RegistryError
from builder.net.address import joined, origin_of
from builder.oci.digest import sha256_of
from builder.oci.json import Fields, decode
from builder.registry.errors import host_of
from builder.store.blobs import DOCUMENT_LIMIT

if TYPE_CHECKING:
    from builder.net.client import Answer
    from builder.oci.descriptor import Descriptor
    from builder.oci.reference import Reference
    from builder.registry.endpoint import Endpoint
    from builder.registry.registry import Registry

_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?', re.IGNORECASE)
_MOST_PAGES = 10_000
_HINT = "the registry, or something before it, answers with what is not a list of tags"


def tags(registry: Registry, reference: Reference) -> list[str]:
    """All tags of a repository, sorted, of the registry itself: mirrors know only what was asked of them."""
    endpoint = registry.routes.pull(reference)[-1]
    found: list[str] = []
    place, seen = "tags/list", set[str]()
    while place:
        if place in seen or len(seen) >= _MOST_PAGES:
            raise RegistryError(f"{host_of(endpoint)}: GET tags of {endpoint.repository}: its pages have no end")
        seen.add(place)
        page, place = registry.persist(lambda place=place: _page(registry, endpoint, place))  # type: ignore[misc]
        found += page
    return sorted(set(found))


def _page(registry: Registry, endpoint: Endpoint, place: str) -> tuple[list[str], str]:
    """One page, and where the next is, "" after the last (distribution-spec "Listing Tags", RFC 5988)."""
    step = f"GET tags of {endpoint.repository}"
    with registry.request(endpoint, "GET", place, step=step) as answer:
        raw = answer.all(DOCUMENT_LIMIT)
        following = _following(answer, f"{host_of(endpoint)}: {step}")
    try:
        return list(Fields(decode(raw, "the list"), "the list").texts("tags") or ()), following
    except DocumentError as error:
        raise DocumentError(f"{host_of(endpoint)}: {step}: {error.message}", hint=error.hint or _HINT) from error


def _following(answer: Answer, shown: str) -> str:
    match = _NEXT.search(answer.headers.get("link", ""))
    if not match:
        return ""
    place = joined(answer.url, match[1])
    if origin_of(place) != origin_of(answer.url):
        raise RegistryError(f"{shown}: the next page would be at another server")
    return place


def config(registry: Registry, reference: Reference, descriptor: Descriptor) -> bytes:
    """The config of an image, verified. DocumentError for one that is too long or not what its digest says."""
    if descriptor.size > DOCUMENT_LIMIT:
        raise DocumentError(f"{descriptor.media_type} {descriptor.digest} is too long: {descriptor.size} bytes")
    sink = _Memory()
    registry.blob(registry.routes.pull(reference), descriptor, sink)
    if sha256_of(sink.content) != descriptor.digest:
        raise DocumentError(f"expected blob {descriptor.digest}, the bytes are {sha256_of(sink.content)}")
    return sink.content


class _Memory:
    def __init__(self) -> None:
        self.content = b""

    def write(self, chunk: bytes, /) -> int:
        self.content += chunk
        return len(chunk)
