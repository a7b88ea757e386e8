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

_NEXT = re.compile(r'<([^<>]*)>\s*;[^,<>]*\brel="?next"?', re.IGNORECASE)
_LONGEST_LINK = 16 << 10
_MOST_PAGES = 10_000
_MOST_BYTES = 256 << 20  # of all pages: millions of tags
_HINT = "the registry, or something before it, answers with what is not a list of tags"


def tags(registry: Registry, reference: Reference) -> list[str]:
    """All tags of a repository, sorted, of the registry itself: mirrors know only what was asked of them."""
    endpoint = registry.routes.pull(reference)[-1]
    found: set[str] = set()
    place, seen, size = "tags/list", set[str](), 0
    while place:
        if place in seen or len(seen) >= _MOST_PAGES or size > _MOST_BYTES:
            raise RegistryError(f"{host_of(endpoint)}: GET tags of {endpoint.repository}: its pages have no end")
        seen.add(place)
        page, place, length = registry.persist(lambda place=place: _page(registry, endpoint, place))  # type: ignore[misc]
        found.update(page)
        size += length
    return sorted(found)


def _page(registry: Registry, endpoint: Endpoint, place: str) -> tuple[list[str], str, int]:
    """One page, where the next is, "" after the last (distribution-spec "Listing Tags", RFC 5988), and its bytes."""
    step = f"GET tags of {endpoint.repository}"
    with registry.request(endpoint, "GET", place, step=step) as answer:
        raw = answer.all(DOCUMENT_LIMIT)
        following = _following(answer, f"{host_of(endpoint)}: {step}")
    try:
        return list(Fields(decode(raw, "the list"), "the list").texts("tags") or ()), following, len(raw)
    except DocumentError as error:
        raise DocumentError(f"{host_of(endpoint)}: {step}: {error.message}", hint=error.hint or _HINT) from error


def _following(answer: Answer, shown: str) -> str:
    match = _NEXT.search(answer.headers.get("link", "")[:_LONGEST_LINK])
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
    sink = _Memory(descriptor.size)
    registry.blob(registry.routes.pull(reference), descriptor, sink)
    content = bytes(sink.content)
    if sha256_of(content) != descriptor.digest:
        raise DocumentError(f"expected blob {descriptor.digest}, the bytes are {sha256_of(content)}")
    return content


class _Memory:
    """Takes `most` bytes: an answer without a length may have no end."""

    def __init__(self, most: int) -> None:
        self.content = bytearray()
        self._most = most

    def write(self, chunk: bytes, /) -> int:
        if len(self.content) + len(chunk) > self._most:
            raise DocumentError(f"a blob of {self._most} bytes goes on after them")
        self.content += chunk
        return len(chunk)
