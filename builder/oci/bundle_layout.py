"""The layout of a bundle: all of it follows from its document. Pure.

    index.json ─► bundle document (an artifact: its manifest, its JSON)
              ├─► images, by ref.name
              └─► files, checkouts and steps (artifacts: their manifests, one blob each)

The document is the truth: whoever reads a bundle makes index.json and these manifests again, and compares.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.oci import mediatypes
from builder.oci.bundle import DOCUMENT, FAMILY, CheckoutSource, FileSource, StepsSource, newer
from builder.oci.descriptor import CONTAINERD_NAME, REF_NAME, Descriptor, describe
from builder.oci.index import Index
from builder.oci.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.oci.bundle import Artifact, Bundle, ImageSource

FILE = FAMILY + "file.v1"
CHECKOUT = FAMILY + "checkout.v1"
STEPS = FAMILY + "steps.v1"
NOTHING = b"{}"  # the config of an artifact (image-spec manifest.md, "Guidance for an empty descriptor")
_SOURCE = "org.opencontainers.image.source"
_REVISION = "org.opencontainers.image.revision"
_SHA256 = FAMILY.removeprefix("application/vnd.") + "sha256"
_REF_NAME = re.compile(r"[A-Za-z0-9]+(?:[-._:@/+][A-Za-z0-9]+|--[A-Za-z0-9]+|__[A-Za-z0-9]+)*", re.ASCII)


def manifest_of(bundle: Bundle) -> bytes:
    """The manifest of the document: what index.json names."""
    document = describe(DOCUMENT, bundle.encode())
    return _artifact(DOCUMENT, document, ())


def artifacts(bundle: Bundle) -> dict[str, bytes]:
    """The manifests of files, checkouts and steps, by digest."""
    return {descriptor.digest: raw for descriptor, raw in map(describe_artifact, bundle.others)}


def describe_artifact(source: Artifact) -> tuple[Descriptor, bytes]:
    """A source as other tools may look at it: a manifest of one blob, annotated."""
    notes: tuple[tuple[str, str], ...]
    match source:
        case FileSource():
            kind, notes = FILE, ((_SOURCE, source.url), (_SHA256, source.blob.digest[7:]))
        case CheckoutSource():
            kind, notes = CHECKOUT, ((_REVISION, source.commit), (_SOURCE, source.remote))
        case StepsSource():
            kind, notes = STEPS, ()
    raw = _artifact(kind, source.blob, notes)
    return describe(mediatypes.MANIFEST, raw)._replace(artifact_type=kind), raw


def _artifact(kind: str, blob: Descriptor, notes: tuple[tuple[str, str], ...]) -> bytes:
    config = describe(mediatypes.EMPTY, NOTHING)
    return Manifest(config, (blob,), annotations=notes, artifact_type=kind).encode()


def index_of(bundle: Bundle) -> bytes:
    """index.json: the bundle document first, then images by name, then artifacts."""
    document = describe(mediatypes.MANIFEST, manifest_of(bundle))._replace(artifact_type=DOCUMENT)
    named = {(name, one.root.digest): one for one in bundle.images if (name := _ref_name(one))}
    images = [_entry(name, one, named) for (name, _), one in sorted(named.items())]
    others = [describe_artifact(one)[0] for one in bundle.others]
    return Index((document, *images, *dict.fromkeys(others))).encode()


def _ref_name(image: ImageSource) -> str:
    """The full name, or that of a context, as far as a ref.name may spell it (image-spec annotations.md)."""
    name = image.reference or image.names[0]
    return name if _REF_NAME.fullmatch(name) else ""


def _entry(name: str, image: ImageSource, named: Iterable[tuple[str, str]]) -> Descriptor:
    """One name for one image: a context may be another image for each platform."""
    alone = [other for other, _ in named].count(name) == 1
    shown = name if alone else f"{name}-{str(image.platform).replace('/', '-')}"
    full = ((CONTAINERD_NAME, image.reference),) if image.reference else ()
    return image.root.plain().annotated((REF_NAME, shown), *full)


def is_document(entry: Descriptor) -> bool:
    """Whether an entry of index.json is the bundle document. DocumentError for one of another version."""
    kind = entry.artifact_type
    if kind.startswith(FAMILY + "bundle.") and kind != DOCUMENT:
        raise newer(kind)
    return kind == DOCUMENT
