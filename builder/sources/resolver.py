"""What image names mean: --build-context first, then what a lock says, then the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import BuildError, LockError, NotFound, UsageError
from builder.oci.reference import parse_reference
from builder.sources.image import resolve
from builder.sources.pins import IMAGE, NO_PINS
from builder.store.images import manifest_by_digest
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.errors import Span
    from builder.oci.assemble import Layer
    from builder.oci.descriptor import Descriptor
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from builder.oci.resolved import ResolvedImage
    from builder.sources.pins import Pins
    from builder.store.store import Store

_LAYOUT = "oci-layout://"
_IMAGE = "docker-image://"


class NamedContexts(NamedTuple):
    """--build-context, sorted by what it names: directories for --from, images for FROM and --from."""

    directories: dict[str, str]
    images: dict[str, str]


def parse_contexts(pairs: Sequence[tuple[str, str]]) -> NamedContexts:
    """`directories` are those and whatever else has files: archives, addresses. UsageError for what is neither."""
    directories: dict[str, str] = {}
    images: dict[str, str] = {}
    for name, value in pairs:
        if value.startswith((_LAYOUT, _IMAGE)):
            images[name] = value
        elif value == "-":
            raise UsageError(f"--build-context {name}=-: standard input can only be the main context")
        elif not value:
            raise UsageError(f"--build-context {name}=: the value is empty", hint=f"write {name}=DIRECTORY")
        else:
            directories[name] = value
    return NamedContexts(directories, images)


class Resolver:
    """Pins images by name, each once. `layers` tells the layers of every image it has pinned, by manifest digest.

    `pinned` tells the manifest of every reference, by that and the platform.
    """

    def __init__(self, store: Store, named: NamedContexts, pins: Pins = NO_PINS) -> None:
        self._store = store
        self._named = named
        self._pins = pins
        self._known: dict[tuple[str, str], ResolvedImage] = {}
        self.layers: dict[str, tuple[Layer, ...]] = {}
        self.pinned: dict[tuple[str, str], tuple[Reference, str]] = {}

    def reference(self, name: str) -> Reference | None:
        """What an image name of the Dockerfile refers to; None for a layout on this machine."""
        value = self._named.images.get(name, name)
        return None if value.startswith(_LAYOUT) else parse_reference(value.removeprefix(_IMAGE)).or_latest()

    def resolve(self, name: str, platform: Platform, span: Span) -> ResolvedImage:
        """The image for a platform, or NotFound, NotSupported or DocumentError with the place that asks for it."""
        key = (name, str(platform))
        if key not in self._known:
            try:
                image = resolve(name, self._find(name, platform), self._store, platform)
            except BuildError as error:
                error.span = error.span or span
                raise
            self._known[key] = image
            self.layers[image.manifest] = image.layers
            if reference := self.reference(name):
                self.pinned[str(reference), str(platform)] = (reference, image.manifest)
        return self._known[key]

    def _find(self, name: str, platform: Platform) -> Descriptor:
        reference = self.reference(name)
        if reference is None:
            return self._in_layout(self._named.images[name].removeprefix(_LAYOUT), platform)
        locked = self._pins.image(str(reference), platform)
        return self._locked(reference, locked, platform) if locked else self._tagged(reference)

    def _locked(self, reference: Reference, digest: str, platform: Platform) -> Descriptor:
        found = manifest_by_digest(self._store.blobs, digest)
        if found is None:
            place = self._pins.place(IMAGE, str(reference), str(platform))
            raise LockError(
                f"image {reference.familiar()} for {platform} is locked to {digest} by {place}: not in the store",
                hint=f"load that image, or lock another one: rbuild lock --update {reference.familiar()}",
            )
        return found

    def _tagged(self, reference: Reference) -> Descriptor:
        found = self._store.tags.get(str(reference))
        if found is None and reference.digest:
            found = self._by_digest(reference.digest)
        if found is None:
            raise NotFound(
                f"image {reference.familiar()} is not in the store",
                hint="pulling from registries is not supported yet. Bring the image with\n"
                f"  skopeo copy docker://{reference.familiar()} docker-archive:/dev/stdout:{reference.familiar()} "
                "| rbuild load -\nor name one on this machine with --build-context",
            )
        return found

    def _by_digest(self, digest: str) -> Descriptor | None:
        return next((entry for _, entry in self._store.tags.all() if entry.digest == digest), None)

    def _in_layout(self, value: str, platform: Platform) -> Descriptor:
        """`path[:tag][@digest]` of an OCI layout, its blobs brought into the store."""
        from builder.sources.oci_layout import fetch

        path, at, digest = value.partition("@")
        head, colon, tag = path.rpartition(":")
        if colon and "/" not in tag:
            path = head
        else:
            tag = ""
        return fetch(path, digest if at else tag, self._store, platform)
