"""Manifests and indexes as a registry gives them: what they are, and whether they are what was asked for.

A document is believed by its digest, and its kind by three witnesses that have to agree: the Content-Type, the
descriptor that led to it, and the document itself (CVE-2021-41190).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import DocumentError
from builder.oci import mediatypes
from builder.oci.descriptor import Descriptor
from builder.oci.digest import parse_digest, sha256_of
from builder.oci.index import parse_index
from builder.oci.json import decode
from builder.oci.manifest import parse_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = mediatypes.MANIFESTS | mediatypes.INDEXES
ACCEPT = ", ".join(
    (mediatypes.MANIFEST, mediatypes.INDEX, mediatypes.DOCKER_MANIFEST, mediatypes.DOCKER_INDEX, "*/*;q=0.1")
)
_OLD = "application/vnd.docker.distribution.manifest.v1+"
# What servers send that do not know better; it says nothing.
_ANY = frozenset(("", "application/json", "application/octet-stream", "text/plain", "text/json"))


class Altered(DocumentError):
    """The bytes are not those of the digest: they may have been spoilt on the way, and be right the next time."""


def announced(headers: Mapping[str, str]) -> str:
    """The digest that an answer gives for what was asked, "" for none."""
    text = headers.get("docker-content-digest", "").strip()
    return parse_digest(text) if text else ""


def kind_of(headers: Mapping[str, str]) -> str:
    """The media type that an answer gives, "" where it says nothing."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return "" if kind in _ANY else kind


def received(shown: str, raw: bytes, headers: Mapping[str, str], asked: str) -> Descriptor:
    """What `raw` is. `shown` names it in messages, `asked` is the digest that was asked for, or "".

    Altered or DocumentError if it is not what was asked for, or could be read as two things.
    """
    try:
        digest = sha256_of(raw)
        for other in filter(None, (asked, announced(headers))):
            if other != digest:
                raise Altered(f"expected {other}, the bytes are {digest}")
        return Descriptor(_examined(raw, kind_of(headers)), digest, len(raw))
    except DocumentError as error:
        raise explain(error, shown) from error


_HINT = "the registry, or something before it, serves what is not an image"


def _examined(raw: bytes, kind: str) -> str:
    """The media type, after making sure that the document is valid as that and nothing else."""
    document = decode(raw, "manifest")
    if kind.startswith(_OLD) or document.get("schemaVersion") == 1:
        raise DocumentError(
            "the image is in Docker's schema 1, a format that carries no digests of its layers' contents",
            hint="push it again with any tool of the last years: skopeo copy --format oci docker://OLD docker://NEW",
        )
    own = document.get("mediaType")
    kind = kind or (own if isinstance(own, str) else "")
    if not kind:
        raise DocumentError("neither the answer nor the document says what it is: no Content-Type, no mediaType")
    if kind in mediatypes.INDEXES:
        return parse_index(raw, kind).media_type
    if kind in mediatypes.MANIFESTS:
        return parse_manifest(raw, kind).media_type
    raise DocumentError(f"{kind[:100]!r} is not a kind of image that we know")


def matching(shown: str, found: Descriptor, expected: Descriptor) -> None:
    """DocumentError unless a fetched document is what the descriptor that led to it says."""
    for what, one, other in (
        ("size", found.size, expected.size),
        ("media type", found.media_type, expected.media_type),
    ):
        if one != other:
            raise DocumentError(f"{shown}: its {what} is {one}, the index says {other}", hint=_HINT)


def explain(error: DocumentError, shown: str) -> DocumentError:
    """The same error, saying what it is about."""
    return type(error)(f"{shown}: {error.message}", hint=error.hint or _HINT)
