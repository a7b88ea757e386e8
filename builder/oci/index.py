"""Image indexes: one descriptor a platform, or the contents of a layout (image-spec image-index.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import DocumentError
from builder.oci import mediatypes
from builder.oci.descriptor import Descriptor, descriptor_from
from builder.oci.json import Extra, Fields, build, decode, encode
from builder.oci.manifest import check_kind
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.oci.platform import Platform


class Index(NamedTuple):
    """`raw` is the text that was parsed ("" when made here)."""

    manifests: tuple[Descriptor, ...]
    media_type: str = mediatypes.INDEX
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
            ("manifests", [manifest.as_json() for manifest in self.manifests]),
            ("subject", self.subject.as_json() if self.subject else None),
            ("annotations", dict(self.annotations) or None),
        )
        return encode(build(members, self.extra))

    def platforms(self) -> tuple[Platform, ...]:
        """What images there are; attestations call themselves unknown/unknown."""
        found = (entry.platform for entry in self.manifests if entry.platform)
        return tuple(platform for platform in found if platform.os != "unknown")

    def choose(self, platform: Platform) -> Descriptor | None:
        """The entry that suits best; the first of equals; None if none does.

        An entry without a platform suits only where it is the one entry that there is.
        """
        if len(self.manifests) == 1 and self.manifests[0].platform is None:
            return self.manifests[0]
        ranked = [
            (rank, number)
            for number, entry in enumerate(self.manifests)
            if entry.platform is not None and (rank := platform.rank(entry.platform)) is not None
        ]
        return self.manifests[min(ranked)[1]] if ranked else None


def parse_index(raw: bytes, media_type: str = "") -> Index:
    """The index in `raw`; refuses what could be taken for a manifest as well, as `parse_manifest` does."""
    fields = Fields(decode(raw, "index"), "index")
    foreign = ("config", "layers", "fsLayers")
    media_type = check_kind(fields, media_type, mediatypes.INDEXES, mediatypes.INDEX, foreign)
    if not fields.has("manifests"):
        raise DocumentError("index: manifests is missing")
    return Index(
        manifests=fields.each("manifests", descriptor_from),
        media_type=media_type,
        annotations=fields.mapping("annotations"),
        artifact_type=fields.text("artifactType"),
        subject=fields.one("subject", descriptor_from),
        extra=fields.rest(),
        raw=raw,
    )
