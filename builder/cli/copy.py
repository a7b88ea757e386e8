"""rbuild copy: an image between registries, OCI layouts and the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cli.live import mode_of, shown
from builder.cli.push import platform_of, write_digests
from builder.cli.registry_options import check_creds, registry_options
from builder.errors import DocumentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors
    from builder.copying import Place
    from builder.events import Emit
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from builder.store.store import Store


def run(arguments: Arguments, console: Console, doors: Doors) -> int:
    """Prints the digest of what was copied."""
    mode = mode_of(arguments, console)
    platform = platform_of(arguments)
    if platform and arguments.flag("all"):
        raise UsageError("--platform and --all exclude one another", hint="leave one of them away")
    with doors.open_store(arguments.one("store")) as store:
        work = _work(arguments, console, store, platform)
        digest = shown(work, mode, console, "copy")
    if isinstance(digest, int):
        return digest
    write_digests(arguments.one("digestfile"), [digest])
    console.out(f"{digest}\n")
    return 0


def _work(
    arguments: Arguments, console: Console, store: Store, platform: Platform | None
) -> Callable[[Emit, Event], str]:
    from builder.copying import copy, parse_place
    from builder.registry.registry import Registry

    options = registry_options(arguments)

    def place(text: str, qualify: Callable[[str], Reference]) -> Place:
        try:
            return parse_place(text, qualify)
        except DocumentError as error:
            raise UsageError(error.message, hint=error.hint) from error

    def work(emit: Emit, cancelled: Event) -> str:
        from builder.oci.reference import parse_reference

        with Registry(options, console.environ, cancelled) as registry:
            source = place(arguments.operands[0], registry.routes.qualify)
            target = place(arguments.operands[1], parse_reference)
            check_creds(options, [place.domain for place in (source, target) if place.domain])
            return copy(registry, source, target, store, platform, emit).digest

    return work
