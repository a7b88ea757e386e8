"""rbuild save: images of the store as one archive, the counterpart of rbuild load."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from builder.cli.images import find
from builder.errors import BuildError, UsageError

if TYPE_CHECKING:
    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors
    from builder.exporters.exporter import StoredImage
    from builder.oci.platform import Platform
    from builder.store.store import Store


def run(arguments: Arguments, console: Console, doors: Doors) -> int:
    from builder.exporters.archive import ArchiveExporter

    dest = arguments.one("output") or "-"
    if dest == "-" and console.stdout.isatty():
        raise UsageError("save: standard output is a terminal", hint="write -o FILE, or pipe it on")
    store = doors.open_store(arguments.one("store"))
    images = _images(arguments.operands, store, _platform(arguments.one("platform")), doors)
    docker = arguments.one("format") != "oci-archive"
    ArchiveExporter(dest, docker=docker).export_all(images, sys.stdout.buffer)
    return 0


def _images(texts: tuple[str, ...], store: Store, platform: Platform | None, doors: Doors) -> list[StoredImage]:
    """One for each digest, with all the names that it was asked for by."""
    from builder.exporters.exporter import StoredImage
    from builder.store.images import choose_manifest, naming

    found: dict[str, StoredImage] = {}
    for name, descriptor in (find(store, text, doors) for text in texts):
        with naming(name):
            manifest = choose_manifest(store.blobs, descriptor, platform) if platform else descriptor
        image = found.setdefault(manifest.digest, StoredImage(store.blobs, manifest))
        names = dict.fromkeys((*image.names, doors.parse_reference(name)))
        found[manifest.digest] = image._replace(names=tuple(names))
    return list(found.values())


def _platform(text: str | None) -> Platform | None:
    from builder.oci.platform import parse_platform

    try:
        return parse_platform(text) if text else None
    except BuildError as error:
        raise UsageError(f"--platform: {error.message}", hint=error.hint) from error
