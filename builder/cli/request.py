"""From arguments to a BuildRequest: every value that can be checked before the build is checked here."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, cast

from builder.cli import request_values as values
from builder.cli.proxies import proxies
from builder.cli.registry_options import options_of_file
from builder.errors import BuildError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.cli.argv import Arguments
    from builder.cli.doors import Doors
    from builder.exporters.spec import Output
    from builder.layers.codec import Compression
    from builder.request import BuildRequest

_REMOTE = ("http://", "https://", "git://", "ssh://", "github.com/")


def request_of(arguments: Arguments, environ: Mapping[str, str], doors: Doors) -> BuildRequest:
    """Raises UsageError for the first value that cannot be right."""
    here = context(arguments)
    return doors.request_type()(
        context=here,
        dockerfile=dockerfile(arguments, here),
        target=arguments.one("target"),
        tags=tuple(_tag(text, doors) for text in arguments.all("tag")),
        build_args=_build_args(arguments, environ),
        labels=tuple((key, value or "") for key, value in arguments.pairs("label")),
        build_contexts=tuple((key, value or "") for key, value in arguments.pairs("build-context")),
        outputs=_outputs(arguments, doors),
        store=arguments.one("store"),
        isolation=_isolation(arguments, environ),
        jobs=_jobs(arguments.one("jobs")),
        no_cache=arguments.flag("no-cache"),
        network=arguments.one("network") or "default",
        compression=cast("Compression", arguments.one("compression") or "gzip"),
        offline=arguments.flag("offline"),
        bundles=arguments.all("bundle"),
        platforms=values.platforms(arguments.all("platform")),
        annotations=values.annotated(arguments.all("annotation")),
        no_cache_filter=tuple(name for text in arguments.all("no-cache-filter") for name in text.split(",") if name),
        add_hosts=values.hosts(arguments.all("add-host")),
        hostname=arguments.one("hostname") or "",
        shm_size=values.size("--shm-size", arguments.one("shm-size")),
        ulimits=values.ulimits(arguments.all("ulimit")),
        allow=values.entitlements(arguments.all("allow")),
        secrets=values.secrets(arguments.all("secret")),
        ssh=values.agents(arguments.all("ssh")),
        strict=arguments.flag("strict"),
        pull=values.pull_policy(arguments.one("pull")),
        registry=options_of_file(arguments),
        lock=_lock(arguments),
        locked=arguments.flag("locked"),
        build_ca=arguments.all("build-ca"),
    )


def _lock(arguments: Arguments) -> str | None:
    """The --lock given, None for the one beside the Dockerfile, "" for none at all."""
    if not arguments.flag("no-lock"):
        return arguments.one("lock")
    for name in ("lock", "locked"):
        if arguments.all(name):
            raise UsageError(f"--no-lock and --{name} exclude each other")
    return ""


def context(arguments: Arguments) -> str:
    path = arguments.operand(".")
    if not _local(path) or os.path.exists(path):  # a file there may be an archive: its content says
        return path
    if not os.path.isdir(path):
        reason = "there is no such directory"
        raise UsageError(f"context {path}: {reason}", hint=_meant(path))
    return path


def _local(path: str) -> bool:
    return path != "-" and not path.startswith(_REMOTE) and not re.match(r"[\w-]+@[\w.-]+:", path, re.ASCII)


def dockerfile(arguments: Arguments, context: str) -> str | None:
    """The --file given, or None when the context's own Dockerfile is meant; either is there."""
    given = arguments.one("file")
    if given == "-" and context == "-":
        raise UsageError("standard input cannot be both the context and the Dockerfile")
    if given is not None and (given == "-" or given.startswith(("http://", "https://"))):
        return given
    if not os.path.isdir(context) and not (given and os.path.isabs(given)):
        return given  # inside what is still to be fetched or unpacked
    names = [given] if given else [os.path.join(context, name) for name in ("Dockerfile", "dockerfile")]
    path = next((name for name in names if os.path.exists(name)), names[0])
    # A directory opens and cannot be read; a pipe (`-f <(generate)`) is no regular file, and is fine.
    if os.path.isdir(path):
        raise UsageError(f"{path}: is a directory, not a Dockerfile")
    if not os.path.exists(path):
        raise UsageError(f"{path.removeprefix('./')}: there is no such file", hint=_other_dockerfile(given, context))
    return given


def _other_dockerfile(given: str | None, context: str) -> str:
    if given is None and os.path.exists(os.path.join(context, "Containerfile")):
        return f"there is a Containerfile: add -f {os.path.join(context, 'Containerfile')}"
    if given is not None and os.path.exists(os.path.join(context, given)):
        return f"-f is relative to the current directory: did you mean -f {os.path.join(context, given)}?"
    return "-f FILE names another one"


def _meant(path: str) -> str | None:
    from difflib import get_close_matches

    from builder.cli.commands import COMMANDS

    names = [command.name for command in COMMANDS] + ["help"]
    if path in names:
        return f"a command comes first: rbuild {path} …"
    near = get_close_matches(path, names, 1)
    if near:
        return f"did you mean rbuild {near[0]}?"
    return None if "/" in path else "rbuild help lists the commands"


def _tag(text: str, doors: Doors) -> str:
    try:
        reference = doors.parse_reference(text)
    except BuildError as error:
        raise UsageError(f"--tag: {error.message}", hint=error.hint) from error
    if reference.digest:
        raise UsageError(f"--tag {text}: a tag cannot carry a digest")
    return text


def _outputs(arguments: Arguments, doors: Doors) -> tuple[Output, ...]:
    """--push is short for -o type=image,push=true, or makes the images among the outputs pushed ones."""
    outputs = [_output(text, doors) for text in arguments.all("output")]
    if len(outputs) > 1 and any(output.kind == "cacheonly" for output in outputs):
        raise UsageError("-o type=cacheonly writes nothing: there can be no other --output beside it")
    if arguments.flag("push"):
        images = [output for output in outputs if output.is_image]
        outputs = [output.pushing() if output.is_image else output for output in outputs]
        outputs += [] if images else [_output("type=registry", doors)]
    for output in outputs:
        _check_push(output, arguments)
    return tuple(outputs)


def _check_push(output: Output, arguments: Arguments) -> None:
    """Known now, and not after an hour of building."""
    if output.is_image and not (output.get("name") or arguments.all("tag")):
        raise UsageError(f"-o type={output.kind}: the image has no name", hint="give it one: -t HOST/REPOSITORY:TAG")
    if output.pushes and arguments.flag("offline"):
        raise UsageError("--offline forbids what --push asks for", hint="rbuild push REF does it later")


def _output(text: str, doors: Doors) -> Output:
    try:
        return doors.parse_output(text)
    except BuildError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _build_args(arguments: Arguments, environ: Mapping[str, str]) -> tuple[tuple[str, str | None], ...]:
    """KEY alone is looked up here, once: what a build sees of the environment is in its request."""
    given = [(key, environ.get(key) if value is None else value) for key, value in arguments.pairs("build-arg")]
    named = {key for key, _ in given}
    return (*((key, value) for key, value in proxies(environ).items() if key not in named), *given)


def _isolation(arguments: Arguments, environ: Mapping[str, str]) -> str | None:
    tier = arguments.one("isolation")
    if tier is None and (tier := environ.get("RBUILD_ISOLATION") or None):
        choices = ("auto", "userns", "single", "none")
        if tier not in choices:
            raise UsageError(f"RBUILD_ISOLATION={tier}: choose one of {', '.join(choices)}")
    return None if tier == "auto" else tier


def _jobs(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise UsageError(f"--jobs {text}: expected a number, at least 1")
    return int(text)
