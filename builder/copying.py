"""An image from one place to another: registries, OCI layouts and the store.

registry ─► registry     blob by blob; what the target has, or can mount from the source, is not brought here
everything else          through blobs on this machine: the store's, where it is one of the two places
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import NotFound, UsageError
from builder.oci.descriptor import REF_NAME
from builder.oci.reference import parse_reference
from builder.store.images import choose_manifest
from builder.store.store import Store
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.events import Emit
    from builder.oci.descriptor import Descriptor
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from builder.registry.registry import Registry

LAYOUT, STORE = "oci-layout://", "store://"
_REGISTRIES = "docker://"


class Place(NamedTuple):
    """`kind` is registry, layout or store. `path` and `wanted` (a tag or digest) are of a layout."""

    kind: str
    reference: Reference | None = None
    path: str = ""
    wanted: str = ""

    @property
    def domain(self) -> str:
        """The registry, "" for what is at none."""
        return self.reference.domain if self.reference and self.kind == "registry" else ""


def parse_place(text: str, qualify: Callable[[str], Reference] = parse_reference) -> Place:
    """`oci-layout://PATH[:TAG|@DIGEST]`, `store://REF`, or a reference at a registry. UsageError, DocumentError."""
    if text.startswith(LAYOUT):
        return _layout(text.removeprefix(LAYOUT))
    if text.startswith(STORE):
        return Place("store", parse_reference(text.removeprefix(STORE)).or_latest())
    scheme, colon, _ = text.partition("://")
    if colon and scheme != "docker":
        known = f"{LAYOUT}PATH[:TAG], {STORE}REF, or HOST/REPOSITORY:TAG"
        raise UsageError(f"{text}: unknown kind of place {scheme!r}", hint=f"known are {known}")
    return Place("registry", qualify(text.removeprefix(_REGISTRIES)).or_latest())


def _layout(text: str) -> Place:
    from builder.sources.oci_layout import split_place

    path, wanted = split_place(text)
    if not path:
        raise UsageError(f"{LAYOUT}{text}: the path is missing", hint=f"{LAYOUT}PATH[:TAG]")
    return Place("layout", None, path, wanted)


def copy(
    registry: Registry, source: Place, target: Place, store: Store, platform: Platform | None, emit: Emit
) -> Descriptor:
    """Copy an image, or with a platform the one for it; None is all of an index. Documents keep their bytes.

    Gives what the target stands for now. Raises BuildError; the target is then what it was, but for blobs.
    """
    with _room(source, target, store) as room:
        if source.kind == "store":
            root = _of_store(source, store, platform)
        elif source.kind == "layout":
            root = _of_layout(source, room, platform)
        else:
            return _of_registry(registry, source, target, store, room, platform, emit)
        _deliver(registry, target, room, root, emit)
        return root


@contextmanager
def _room(source: Place, target: Place, store: Store) -> Iterator[Store]:
    """Where the blobs are meanwhile: the store if it takes part, else a place that is empty again afterwards."""
    if "store" in (source.kind, target.kind):
        yield store
        return
    with store.trees.scratch("copy") as place, Store.open(f"{place}/store") as room:
        yield room


def _of_store(source: Place, store: Store, platform: Platform | None) -> Descriptor:
    root = store.tags.get(str(source.reference))
    if root is None:
        raise NotFound(f"no image {source.reference} in the store", hint="rbuild images lists them")
    return choose_manifest(store.blobs, root, platform) if platform else root


def _of_layout(source: Place, room: Store, platform: Platform | None) -> Descriptor:
    from builder.oci.index import parse_index
    from builder.sources.archive import archive_errors
    from builder.sources.oci_layout import LayoutDirectory, check_complete, select

    with archive_errors(source.path):
        layout = LayoutDirectory(source.path)
        root = select(parse_index(layout.index).manifests, source.wanted).plain()
        chosen = choose_manifest(layout, root, platform) if platform else root
        layout.copy(chosen, room.blobs)
        check_complete(room.blobs, chosen)
    return chosen.plain()


def _of_registry(
    registry: Registry,
    source: Place,
    target: Place,
    store: Store,
    room: Store,
    platform: Platform | None,
    emit: Emit,
) -> Descriptor:
    from builder.registry.pull import layers, outline

    assert source.reference
    found = outline(registry, source.reference, room, platform)

    def bring(blobs: list[Descriptor]) -> None:
        for blob in blobs:
            _lend(store, room, blob)
        assert source.reference
        layers(registry, source.reference, room, blobs)

    if target.kind != "registry":
        bring(list(found.blobs))
        _deliver(registry, target, room, found.root, emit)
        return found.root
    from builder.registry.push import push

    assert target.reference
    lent = source.reference.path if source.reference.domain == target.reference.domain else ""
    lent = "" if lent == target.reference.path else lent
    push(registry, target.reference, room, found.root, provide=lambda blob: bring([blob]), lent=lent, emit=emit)
    return found.root


def _lend(store: Store, room: Store, blob: Descriptor) -> None:
    """What the store has need not be brought again; the room is on the same file system."""
    if room is not store and store.blobs.has(blob.digest) and not room.blobs.has(blob.digest):
        os.link(store.blobs.path(blob.digest), room.blobs.path(blob.digest))


def _deliver(registry: Registry, target: Place, room: Store, root: Descriptor, emit: Emit) -> None:
    if target.kind == "store":
        if target.reference and target.reference.digest not in ("", root.digest):
            raise UsageError(f"{STORE}{target.reference}: what would get this name is {root.digest}")
        room.tags.set(str(target.reference), root.plain())
    elif target.kind == "layout":
        _into_layout(target, room, root)
    else:
        from builder.registry.push import push

        assert target.reference
        push(registry, target.reference, room, root, emit=emit)


def _into_layout(target: Place, room: Store, root: Descriptor) -> None:
    import sys

    from builder.exporters.exporter import StoredImage
    from builder.exporters.layout import LayoutExporter

    if ":" in target.wanted:
        raise UsageError(f"{LAYOUT}{target.path}@{target.wanted}: a layout is written under a tag")
    named = root.plain().annotated((REF_NAME, target.wanted or "latest"))
    LayoutExporter(target.path).export(StoredImage(room.blobs, named), sys.stdout.buffer)
