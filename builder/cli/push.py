"""rbuild push: images of the store into registries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cli.images import find
from builder.cli.live import mode_of, shown
from builder.cli.registry_options import check_creds, registry_options
from builder.errors import BuildError, ExportError, UsageError
from builder.progress.text import size

if TYPE_CHECKING:
    from threading import Event

    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors
    from builder.events import Emit
    from builder.oci.descriptor import Descriptor
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from builder.registry.options import RegistryOptions
    from builder.registry.push import Pushed
    from builder.store.store import Store

    Job = tuple[Descriptor, Reference]


def run(arguments: Arguments, console: Console, doors: Doors) -> int:
    """Prints the full name of what was pushed, with its digest; with --quiet the digest alone."""
    mode = mode_of(arguments, console)
    options = registry_options(arguments)
    platform = platform_of(arguments)
    with doors.open_store(arguments.one("store")) as store:
        jobs = [_narrowed(job, store, platform) for job in _jobs(arguments, store, doors)]
        check_creds(options, [target.domain for _, target in jobs])
        done = shown(lambda emit, stop: _push(jobs, options, console, store, emit, stop), mode, console, "push")
    if isinstance(done, int):
        return done
    for (_, target), pushed in zip(jobs, done, strict=True):
        _tell(target, pushed, mode == "quiet", console)
    write_digests(arguments.one("digestfile"), [each.digest for each in done])
    return 0


def platform_of(arguments: Arguments) -> Platform | None:
    from builder.oci.platform import parse_platform

    text = arguments.one("platform")
    try:
        return parse_platform(text) if text else None
    except BuildError as error:
        raise UsageError(f"--platform: {error.message}", hint=error.hint) from error


def destination(text: str, doors: Doors) -> Reference:
    """Where to push to, by tag, or by digest where the name has none. UsageError for what is no name."""
    try:
        return doors.parse_reference(text)
    except BuildError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _jobs(arguments: Arguments, store: Store, doors: Doors) -> list[Job]:
    names = arguments.operands
    if arguments.flag("each"):
        return [_under_own_name(name, store, doors) for name in names]
    if len(names) > 2:
        raise UsageError(f"unexpected argument: {names[2]}", hint="--each pushes every REF under its own name")
    if len(names) == 1:
        return [_under_own_name(names[0], store, doors)]
    target = destination(names[1], doors)
    return [(find(store, names[0], doors)[1], target)]


def _under_own_name(text: str, store: Store, doors: Doors) -> Job:
    name, descriptor = find(store, text, doors)
    return descriptor, destination(name, doors)


def _narrowed(job: Job, store: Store, platform: Platform | None) -> Job:
    """The image for one platform of an index, which then is all that the name stands for."""
    if platform is None:
        return job
    from builder.store.images import choose_manifest, naming

    with naming(job[1].familiar()):
        return choose_manifest(store.blobs, job[0], platform), job[1]


def _push(
    jobs: list[Job], options: RegistryOptions, console: Console, store: Store, emit: Emit, cancelled: Event
) -> list[Pushed]:
    from builder.registry.push import push
    from builder.registry.registry import Registry

    with Registry(options, console.environ, cancelled) as registry:
        return [push(registry, target, store, descriptor, emit=emit) for descriptor, target in jobs]


def _tell(target: Reference, pushed: Pushed, quiet: bool, console: Console) -> None:
    if quiet:
        console.out(f"{pushed.digest}\n")
        return
    console.err(f"{counted(pushed)}\n")
    console.out(f"{target._replace(digest=pushed.digest)}\n")


def counted(pushed: Pushed) -> str:
    """What became of the blobs, in words."""
    counts = (
        (pushed.uploaded, f"sent ({size(pushed.sent)})"),
        (pushed.mounted, "mounted from another repository"),
        (pushed.present, "there already"),
    )
    return "blobs: " + (", ".join(f"{count} {what}" for count, what in counts if count) or "none")


def write_digests(path: str | None, digests: list[str]) -> None:
    if path:
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write("".join(f"{digest}\n" for digest in digests))
        except OSError as error:
            raise ExportError(f"--digestfile {path}: {error.strerror}") from error
