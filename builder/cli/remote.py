"""rbuild ls-tags and rbuild inspect --remote: what registries have, without bringing it here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from builder.cli.live import shown
from builder.cli.push import platform_of
from builder.cli.registry_options import check_creds, registry_options
from builder.errors import DocumentError, UsageError
from builder.progress.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors
    from builder.events import Emit
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from builder.registry.options import RegistryOptions
    from builder.registry.registry import Registry


def tags(arguments: Arguments, console: Console, doors: Doors) -> int:
    """One a line, sorted."""
    from builder.registry.browse import tags as listed

    def look(registry: Registry) -> list[str]:
        reference = _reference(registry, arguments.operands[0])
        if reference.tag or reference.digest:
            raise UsageError(
                f"{arguments.operands[0]}: a repository has no tag", hint=f"ls-tags {reference.repository}"
            )
        return listed(registry, reference)

    found = _asked(look, "ls-tags", registry_options(arguments), console)
    if isinstance(found, int):
        return found
    if arguments.flag("json"):
        console.out(json.dumps(found, indent=2) + "\n")
    else:
        console.out("".join(f"{one_line(tag)}\n" for tag in found))
    return 0


def inspect(arguments: Arguments, console: Console, doors: Doors) -> int:
    platform, options = platform_of(arguments), registry_options(arguments)

    def look(registry: Registry) -> list[tuple[str, dict[str, Any], bytes]]:
        references = [_reference(registry, text).or_latest() for text in arguments.operands]
        check_creds(options, [each.domain for each in references])
        return [_looked(registry, reference, platform, arguments.flag("raw")) for reference in references]

    found = _asked(look, "inspect", options, console)
    if isinstance(found, int):
        return found
    if arguments.flag("raw"):
        console.out("".join(raw.decode() for _, _, raw in found))
        return 0
    rows = [described for _, described, _ in found]
    console.out(json.dumps(rows[0] if len(rows) == 1 else rows, indent=2, ensure_ascii=False) + "\n")
    return 0


def _looked(
    registry: Registry, reference: Reference, platform: Platform | None, raw_only: bool
) -> tuple[str, dict[str, Any], bytes]:
    from builder.oci import mediatypes
    from builder.oci.manifest import parse_manifest
    from builder.registry.browse import config

    _, found, raw = registry.manifest(reference)
    if platform is not None and found.media_type in mediatypes.INDEXES:
        _, found, raw = _chosen(registry, reference, raw, found.media_type, platform)
    described: dict[str, Any] = {"reference": str(reference), "digest": found.digest, "manifest": json.loads(raw)}
    if found.media_type in mediatypes.MANIFESTS and not raw_only:
        manifest = parse_manifest(raw, found.media_type)
        described["config"] = json.loads(config(registry, reference, manifest.config))
    return str(reference), described, raw


def _chosen(registry: Registry, reference: Reference, raw: bytes, media_type: str, platform: Platform) -> Any:
    from builder.errors import NotFound
    from builder.oci.index import parse_index

    index = parse_index(raw, media_type)
    entry = index.choose(platform)
    if entry is None:
        offered = ", ".join(str(each.platform) for each in index.manifests if each.platform)
        raise NotFound(
            f"{reference.familiar()}: the image is not there for {platform}",
            hint=f"it is there for {offered or 'nothing'}",
        )
    return registry.manifest(reference._replace(tag="", digest=entry.digest), entry)


def _reference(registry: Registry, text: str) -> Reference:
    try:
        return registry.routes.qualify(text)
    except DocumentError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _asked(look: Callable[[Registry], Any], word: str, options: RegistryOptions, console: Console) -> Any:
    """What `look` gives, or the exit status. Ctrl-C ends it."""
    from builder.registry.registry import Registry

    def work(emit: Emit, cancelled: Event) -> Any:
        del emit
        with Registry(options, console.environ, cancelled) as registry:
            return look(registry)

    return shown(work, "quiet", console, word)
