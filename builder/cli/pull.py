"""rbuild pull: images of registries into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cli.live import mode_of, shown
from builder.cli.registry_options import check_creds, registry_options
from builder.errors import BuildError, DocumentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors
    from builder.events import Emit
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from builder.registry.options import RegistryOptions
    from builder.registry.registry import Registry
    from builder.store.store import Store


def run(arguments: Arguments, console: Console, doors: Doors) -> int:
    """Prints a line for each image: its full name with the digest, or with --quiet the digest alone."""
    mode = mode_of(arguments, console)
    platform = _platform(arguments)
    options = registry_options(arguments)
    store = doors.open_store(arguments.one("store"))

    def work(emit: Emit, cancelled: Event) -> list[tuple[Reference, str]]:
        return _pull(arguments.operands, platform, options, console, store, emit, cancelled)

    with store:
        pulled = shown(work, mode, console, "pull")
    if isinstance(pulled, int):
        return pulled
    for reference, digest in pulled:
        console.out(f"{digest}\n" if mode == "quiet" else f"{reference._replace(digest=digest)}\n")
    return 0


def _pull(
    names: Sequence[str],
    platform: Platform | None,
    options: RegistryOptions,
    console: Console,
    store: Store,
    emit: Emit,
    cancelled: Event,
) -> list[tuple[Reference, str]]:
    from builder.registry.pull import pull
    from builder.registry.registry import Registry

    with Registry(options, console.environ, cancelled) as registry:
        references = [_reference(registry, name) for name in names]
        check_creds(options, [each.domain for each in references])
        return [(each, pull(registry, each, store, platform, emit).digest) for each in references]


def _reference(registry: Registry, name: str) -> Reference:
    try:
        return registry.routes.qualify(name).or_latest()
    except DocumentError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _platform(arguments: Arguments) -> Platform | None:
    """None for all."""
    from builder.oci.platform import host, parse_platform

    text = arguments.one("platform")
    if arguments.flag("all-platforms"):
        if text:
            raise UsageError("--platform and --all-platforms exclude one another", hint="leave one of them away")
        return None
    try:
        return parse_platform(text) if text else host()
    except BuildError as error:
        raise UsageError(f"--platform {error.message}", hint=error.hint) from error
