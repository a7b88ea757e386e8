"""Descriptors: what some bytes are, how long they are and what they hash to (image-spec descriptor.md)."""

from __future__ import annotations

import re

from builder.errors import DocumentError
from builder.oci.digest import parse_digest, sha256_of
from builder.oci.json import Extra, Fields, build
from builder.oci.platform import Platform, platform_from
from builder.values import NamedTuple

REF_NAME = "org.opencontainers.image.ref.name"
CREATED = "org.opencontainers.image.created"
CONTAINERD_NAME = "io.containerd.image.name"

_HALF = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(f"{_HALF}/{_HALF}", re.ASCII)


class Descriptor(NamedTuple):
    media_type: str
    digest: str
    size: int
    annotations: tuple[tuple[str, str], ...] = ()
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    artifact_type: str = ""
    extra: Extra = ()

    def annotation(self, name: str) -> str:
        return dict(self.annotations).get(name, "")

    def annotated(self, *pairs: tuple[str, str]) -> Descriptor:
        """The same with these annotations set, the others kept."""
        return self._replace(annotations=tuple(sorted({**dict(self.annotations), **dict(pairs)}.items())))

    def plain(self) -> Descriptor:
        """Type, digest and size alone: what identifies the content."""
        return Descriptor(self.media_type, self.digest, self.size)

    def as_json(self) -> dict[str, object]:
        members = (
            ("mediaType", self.media_type),
            ("artifactType", self.artifact_type),
            ("digest", self.digest),
            ("size", self.size),
            ("urls", list(self.urls) or None),
            ("annotations", dict(self.annotations) or None),
            ("platform", self.platform.as_json() if self.platform else None),
        )
        return build(members, self.extra)


def describe(media_type: str, content: bytes) -> Descriptor:
    return Descriptor(media_type, sha256_of(content), len(content))


def descriptor_from(document: object, what: str) -> Descriptor:
    """A Descriptor, or DocumentError for a bad digest, size or media type, naming `what`."""
    fields = Fields(document, what)
    media_type = fields.required("mediaType")
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise fields.fault("mediaType", "a media type")
    if not fields.has("size"):
        raise DocumentError(f"{what}: size is missing")
    return Descriptor(
        media_type=media_type,
        digest=parse_digest(fields.required("digest")),
        size=fields.number("size"),
        annotations=fields.mapping("annotations"),
        platform=fields.one("platform", platform_from),
        urls=fields.texts("urls") or (),
        artifact_type=fields.text("artifactType"),
        extra=fields.rest(),
    )
