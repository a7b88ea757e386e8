"""Image manifests (image-spec manifest.md; Docker's schema 2 has the same members)."""

from __future__ import annotations

from builder.errors import DocumentError
from builder.oci import mediatypes
from builder.oci.descriptor import Descriptor, descriptor_from
from builder.oci.json import Extra, Fields, build, decode, encode
from builder.values import NamedTuple


class Manifest(NamedTuple):
    """`raw` is the text that was parsed ("" when made here); what is signed is always the raw text."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = mediatypes.MANIFEST
    annotations: tuple[tuple[str, str], ...] = ()
    artifact_type: str = ""
    subject: Descriptor | None = None
    extra: Extra = ()
    raw: bytes = b""

    def encode(self) -> bytes:
        """Deterministic bytes of the fields; ignores `raw`."""
        members = (
            ("schemaVersion", 2),
            ("mediaType", self.media_type),
            ("artifactType", self.artifact_type),
            ("config", self.config.as_json()),
            ("layers", [layer.as_json() for layer in self.layers]),
            ("subject", self.subject.as_json() if self.subject else None),
            ("annotations", dict(self.annotations) or None),
        )
        return encode(build(members, self.extra))


def parse_manifest(raw: bytes, media_type: str = "") -> Manifest:
    """The manifest in `raw`. `media_type` is what the descriptor or registry called it ("" if unknown).

    Refuses a document that could be taken for an index as well (CVE-2021-41190), one whose own
    mediaType is another than the given one, and Docker's schema 1.
    """
    fields = Fields(decode(raw, "manifest"), "manifest")
    foreign = ("manifests", "fsLayers")
    media_type = check_kind(fields, media_type, mediatypes.MANIFESTS, mediatypes.MANIFEST, foreign)
    if not fields.has("layers"):
        raise DocumentError("manifest: layers is missing")
    config = fields.one("config", descriptor_from)
    if config is None:
        raise DocumentError("manifest: config is missing")
    return Manifest(
        config=config,
        layers=fields.each("layers", descriptor_from),
        media_type=media_type,
        annotations=fields.mapping("annotations"),
        artifact_type=fields.text("artifactType"),
        subject=fields.one("subject", descriptor_from),
        extra=fields.rest(),
        raw=raw,
    )


def check_kind(fields: Fields, given: str, allowed: frozenset[str], default: str, foreign: tuple[str, ...]) -> str:
    """The media type of a manifest or index, after making sure that it can be nothing else."""
    version = fields.number("schemaVersion")
    if version != 2:
        raise DocumentError(f"{fields.what}: schemaVersion is {version}, not 2")
    own = fields.text("mediaType")
    for media_type in filter(None, (given, own)):
        if media_type not in allowed:
            raise DocumentError(f"{fields.what}: mediaType {media_type!r} is another kind of document")
    if given and own and given != own:
        raise DocumentError(f"{fields.what}: calls itself {own!r} but was announced as {given!r}")
    for key in foreign:
        if fields.mentions(key):
            raise DocumentError(f"{fields.what}: has {key!r} too, so that it could be read as two things")
    return own or given or default
