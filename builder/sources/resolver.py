"""What image names mean: --build-context first, then what a lock says, then the store, then a registry."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from builder.errors import BuildError, NotFound, RegistryError, UsageError
from builder.sources.image import resolve
from builder.sources.pins import IMAGE, NO_PINS
from builder.store.blobs import MissingBlob
from builder.store.images import PlatformMissing
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from builder.errors import Span
    from builder.oci.descriptor import Descriptor
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from builder.oci.resolved import ResolvedImage
    from builder.sources.base_layers import BaseLayers
    from builder.sources.pins import Pins
    from builder.sources.search import Search
    from builder.store.store import Store

_LAYOUT = "oci-layout://"
_IMAGE = "docker-image://"
_AT_ONCE = 6


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


class Origin(Protocol):
    def find(self, reference: Reference, platform: Platform) -> Descriptor | None:
        """The image, all that is needed of it brought into the store; None if it is not there."""
        ...


class Resolver:
    """Pins images by name, each once: from --build-context, `first`, the store, a registry, in this order.

    `pinned` tells the manifest of every reference, by that and the platform, `roots` the index or manifest that every
    name stood for. `ahead` tells what else will be wanted: when the network is needed anyway, all is looked up at once.
    """

    def __init__(
        self,
        store: Store,
        named: NamedContexts,
        search: Search,
        layers: BaseLayers,
        pins: Pins = NO_PINS,
        first: Origin | None = None,
    ) -> None:
        self.layers = layers
        self.pinned: dict[tuple[str, str], tuple[Reference, str]] = {}
        self.roots: dict[tuple[str, str], Descriptor] = {}
        self.ahead: Callable[[], Iterable[tuple[str, Platform]]] = tuple
        self._store = store
        self._named = named
        self.search = search
        self._pins = pins
        self._first = first
        self._known: dict[tuple[str, str], ResolvedImage | BuildError] = {}

    def reference(self, name: str) -> Reference | None:
        """What an image name of the Dockerfile refers to; None for a layout on this machine."""
        value = self._named.images.get(name, name)
        return None if value.startswith(_LAYOUT) else self.search.reference(value.removeprefix(_IMAGE))

    def resolve(self, name: str, platform: Platform, span: Span) -> ResolvedImage:
        """The image for a platform, or a BuildError with the place that asks for it."""
        key = (name, str(platform))
        if key not in self._known:
            self._look_ahead(name)
        if key not in self._known:
            self._known[key] = self._try(name, platform)
        found = self._known[key]
        if isinstance(found, BuildError):
            found.span = found.span or span
            raise found
        return found

    def _look_ahead(self, name: str) -> None:
        """Ask for several images at a time. What cannot be had is told when it is wanted; no thread is left behind."""
        if not self._is_far(name):
            return
        wanted: dict[str, list[Platform]] = {}
        for each, platform in self.ahead():
            wanted.setdefault(each, []).append(platform)
        self.ahead = tuple
        if len(wanted) < 2:
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="resolve") as pool:
            list(pool.map(self._try_all, wanted.items()))

    def _is_far(self, name: str) -> bool:
        text = self._named.images.get(name, name)
        with suppress(BuildError):  # a name that is none, or that nothing is known of, is told when it is looked up
            return not text.startswith(_LAYOUT) and self.search.is_far(text.removeprefix(_IMAGE))
        return False

    def _try_all(self, wanted: tuple[str, list[Platform]]) -> None:
        name, platforms = wanted
        for platform in platforms:
            self._known[name, str(platform)] = self._try(name, platform)

    def _try(self, name: str, platform: Platform) -> ResolvedImage | BuildError:
        try:
            return self._image(name, platform)
        except BuildError as error:
            return error

    def _image(self, name: str, platform: Platform) -> ResolvedImage:
        reference = self.reference(name)
        if reference is None:
            layout = self._named.images[name].removeprefix(_LAYOUT)
            top = self._in_layout(layout, platform)
            image = resolve(name, top, self._store, platform)
            self.roots[name, str(platform)] = top
        else:
            locked = self._pins.image(str(reference), platform)
            image = (
                self._locked(name, reference, locked, platform) if locked else self._found(name, reference, platform)
            )
            self.pinned[str(reference), str(platform)] = (reference, image.manifest)
        self.layers.add(image, reference)
        return image

    def _locked(self, name: str, reference: Reference, digest: str, platform: Platform) -> ResolvedImage:
        try:
            return self._found(name, reference._replace(digest=digest), platform)
        except (NotFound, RegistryError) as error:
            place = self._pins.place(IMAGE, str(reference), str(platform))
            error.message = (
                f"image {reference.familiar()} for {platform} is locked to {digest} by {place}: {error.message}"
            )
            error.hint = f"lock another one with rbuild lock --update {reference.familiar()}; else {error.hint}"
            raise

    def _found(self, name: str, reference: Reference, platform: Platform) -> ResolvedImage:
        """The image with all its documents: of an index that is here, those of one platform may still be missing."""
        try:
            brought = self._first.find(reference, platform) if self._first else None
            top = brought or self.search.top(reference, platform)
            self.roots[name, str(platform)] = top
            try:
                return resolve(name, top, self._store, platform)
            except MissingBlob:
                self.search.complete(reference, top, platform)
                return resolve(name, top, self._store, platform)
        except PlatformMissing as error:
            raise NotFound(f"image {reference.familiar()}: {error.message}", hint=error.hint) from error

    def _in_layout(self, value: str, platform: Platform) -> Descriptor:
        """`path[:tag][@digest]` of an OCI layout, its blobs brought into the store."""
        from builder.sources.oci_layout import fetch, split_place

        path, wanted = split_place(value)
        return fetch(path, wanted, self._store, platform)
