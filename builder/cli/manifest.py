"""rbuild manifest create: an index of images, one for each platform, in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cli.images import find
from builder.cli.live import mode_of, shown
from builder.cli.push import destination
from builder.cli.registry_options import check_creds, registry_options
from builder.errors import NotFound, UsageError

if TYPE_CHECKING:
    from threading import Event

    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors
    from builder.events import Emit
    from builder.oci.descriptor import Descriptor
    from builder.oci.platform import Platform
    from builder.registry.options import RegistryOptions
    from builder.store.store import Store


def run(arguments: Arguments, console: Console, doors: Doors) -> int:
    """Prints the full name of the index, with its digest."""
    verb, name, *parts = arguments.operands
    if verb != "create":
        raise UsageError(f"manifest {verb}: unknown", hint="rbuild manifest create NAME REF...")
    target = destination(name, doors)
    if target.digest:
        raise UsageError(f"{name}: a tag cannot carry a digest")
    annotations = [_annotation(text) for text in arguments.all("annotation")]
    options, mode = registry_options(arguments), mode_of(arguments, console)
    check_creds(options, [destination(part, doors).domain for part in parts])
    with doors.open_store(arguments.one("store")) as store:

        def work(emit: Emit, cancelled: Event) -> list[Descriptor]:
            return [_found(part, store, options, console, doors, emit, cancelled) for part in parts]

        found = shown(work, mode, console, "manifest create")
        if isinstance(found, int):
            return found
        index = _joined(found, parts, store, annotations)
        store.tags.set(str(target), index)
    console.out(f"{index.digest}\n" if mode == "quiet" else f"{target._replace(digest=index.digest)}\n")
    return 0


def _annotation(text: str) -> tuple[str, str]:
    key, equals, value = text.removeprefix("index:").partition("=")
    if not (key and equals):
        raise UsageError(f"--annotation {text}: expected KEY=VALUE")
    return key, value


def _found(
    text: str, store: Store, options: RegistryOptions, console: Console, doors: Doors, emit: Emit, cancelled: Event
) -> Descriptor:
    """An image of the store, or else of a registry, brought for all its platforms."""
    try:
        return find(store, text, doors)[1]
    except NotFound:
        from builder.registry.pull import pull
        from builder.registry.registry import Registry

        with Registry(options, console.environ, cancelled) as registry:
            return pull(registry, destination(text, doors), store, None, emit)


def _joined(roots: list[Descriptor], names: list[str], store: Store, annotations: list[tuple[str, str]]) -> Descriptor:
    """The index of all images that the names stand for. UsageError where two are for one platform."""
    from builder.oci.assemble import assemble_index

    owners: dict[str, str] = {}
    entries = []
    for root, name in zip(roots, names, strict=True):
        for descriptor, platform in _images(root, store):
            if (owner := owners.setdefault(str(platform.normal()), name)) != name:
                raise UsageError(
                    f"{owner} and {name} are both for {platform}", hint="an index has one image a platform"
                )
            entries.append((descriptor, platform))
    index = assemble_index(entries, tuple(sorted(annotations)))
    return store.blobs.put_bytes(index.media_type, index.encode())


def _images(root: Descriptor, store: Store) -> list[tuple[Descriptor, Platform]]:
    """Manifests and their platforms; of an index, those that are here."""
    from builder.oci import mediatypes
    from builder.oci.index import parse_index
    from builder.oci.platform import Platform
    from builder.store.images import read_config, read_manifest

    if root.media_type in mediatypes.INDEXES:
        children = parse_index(store.blobs.read(root), root.media_type).manifests
        return [pair for child in children if store.blobs.has(child.digest) for pair in _images(child, store)]
    config = read_config(store.blobs, read_manifest(store.blobs, root))
    return [(root.plain(), root.platform or Platform(config.os, config.architecture, config.variant))]
