"""rbuild images, inspect, rm and tag: what the store holds, by name.

REF is a tag as a user writes it (`alpine`, `ghcr.io/a/b:v1`) or the digest of a tagged image's manifest,
whole or its first characters, as `rbuild images` prints them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from builder.errors import BuildError, NotFound, UsageError
from builder.progress.text import size
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors
    from builder.oci.documents import Descriptor
    from builder.oci.reference import Reference
    from builder.store.store import Store


class Row(NamedTuple):
    reference: str
    digest: str
    size: int
    created: str


def images(arguments: Arguments, console: Console, doors: Doors) -> int:
    store = doors.open_store(arguments.one("store"))
    rows = [_row(store, name, descriptor) for name, descriptor in sorted(_tags(store).items())]
    if arguments.flag("json"):
        console.out(json.dumps([row._asdict() for row in rows], indent=2) + "\n")
    else:
        console.out(_table(rows, doors))
    return 0


def inspect(arguments: Arguments, console: Console, doors: Doors) -> int:
    if arguments.flag("remote"):
        from builder.cli import remote

        return remote.inspect(arguments, console, doors)
    store = doors.open_store(arguments.one("store"))
    found = [_narrowed(store, find(store, text, doors), arguments) for text in arguments.operands]
    if arguments.flag("raw"):
        console.out("".join(store.blobs.read(descriptor).decode() for _, descriptor in found))
        return 0
    documents = [
        {"reference": name, "digest": descriptor.digest, **_documents(store, descriptor)} for name, descriptor in found
    ]
    shown = documents[0] if len(documents) == 1 else documents
    console.out(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
    return 0


def _narrowed(store: Store, found: tuple[str, Descriptor], arguments: Arguments) -> tuple[str, Descriptor]:
    from builder.cli.push import platform_of
    from builder.store.images import choose_manifest, naming

    platform = platform_of(arguments)
    with naming(found[0]):
        return (found[0], choose_manifest(store.blobs, found[1], platform)) if platform else found


def remove(arguments: Arguments, console: Console, doors: Doors) -> int:
    """Removes every tag named, or none when one of them is not there."""
    store = doors.open_store(arguments.one("store"))
    names = [find(store, text, doors)[0] for text in arguments.operands]
    for name in dict.fromkeys(names):
        store.tags.remove(name)
        console.out(f"removed {name}\n")
    return 0


def tag(arguments: Arguments, console: Console, doors: Doors) -> int:
    source, target = arguments.operands
    store = doors.open_store(arguments.one("store"))
    reference = _reference(target, doors)
    if reference.digest:
        raise UsageError(f"{target}: a tag cannot carry a digest")
    store.tags.set(str(reference), find(store, source, doors)[1])
    return 0


def _tags(store: Store) -> dict[str, Descriptor]:
    return dict(store.tags.all())


def _reference(text: str, doors: Doors) -> Reference:
    try:
        return doors.parse_reference(text)
    except BuildError as error:
        raise UsageError(error.message, hint=error.hint) from error


def find(store: Store, text: str, doors: Doors) -> tuple[str, Descriptor]:
    tags = _tags(store)
    hexadecimal = text.removeprefix("sha256:")
    if len(hexadecimal) >= 12 and not set(hexadecimal) - set("0123456789abcdef"):
        return _by_digest(tags, text, hexadecimal)
    reference = _reference(text, doors)
    if reference.digest:
        return _by_digest(tags, text, reference.digest.removeprefix("sha256:"))
    name = str(reference)
    if name not in tags:
        raise NotFound(f"no image {name} in the store", hint="rbuild images lists them")
    return name, tags[name]


def _by_digest(tags: dict[str, Descriptor], text: str, hexadecimal: str) -> tuple[str, Descriptor]:
    found = [each for each in sorted(tags.items()) if each[1].digest.startswith(f"sha256:{hexadecimal}")]
    if not found:
        raise NotFound(f"no image with digest {text} in the store", hint="rbuild images lists them")
    if len({descriptor.digest for _, descriptor in found}) > 1:
        raise NotFound(f"{text} begins the digests of several images: {', '.join(name for name, _ in found)}")
    return found[0]


def _documents(store: Store, descriptor: Descriptor) -> dict[str, Any]:
    manifest = _json(store, descriptor.digest)
    if "config" not in manifest:  # an index: the images it lists are named in it
        return {"manifest": manifest}
    return {"manifest": manifest, "config": _json(store, manifest["config"]["digest"])}


def _json(store: Store, digest: str) -> dict[str, Any]:
    with store.blobs.open(digest) as blob:
        document = json.loads(blob.read())
    if not isinstance(document, dict):
        raise BuildError(f"{digest} is not a JSON object")
    return document


def _row(store: Store, name: str, descriptor: Descriptor) -> Row:
    size, created = _described(store, descriptor.digest, descriptor.size)
    return Row(name, descriptor.digest, size, created)


def _described(store: Store, digest: str, own: int) -> tuple[int, str]:
    """Bytes of all that is here of an image or index, and when it was created: of an index, its newest image."""
    manifest = _json(store, digest)
    if "config" in manifest:
        parts = [manifest["config"], *manifest.get("layers", [])]
        created = _json(store, manifest["config"]["digest"]).get("created") or ""
        return own + sum(int(part.get("size", 0)) for part in parts), created
    here = [child for child in manifest.get("manifests", []) if store.blobs.has(child["digest"])]
    found = [_described(store, child["digest"], int(child["size"])) for child in here]
    return own + sum(size for size, _ in found), max((created for _, created in found), default="")


def _table(rows: list[Row], doors: Doors) -> str:
    cells = [("REFERENCE", "DIGEST", "SIZE", "CREATED")]
    for row in rows:
        name = doors.parse_reference(row.reference).familiar()
        cells.append(
            (
                name,
                row.digest.removeprefix("sha256:")[:12],
                size(row.size),
                row.created[:19].replace("T", " "),
            )
        )
    widths = [max(len(each[column]) for each in cells) for column in range(4)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(each, widths, strict=True)) for each in cells)
    return "".join(f"{line.rstrip()}\n" for line in lines)
