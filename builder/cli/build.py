"""rbuild build: one request, its progress on standard error, its result on standard output and in files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.cli import result as results
from builder.cli.live import mode_of, shown
from builder.cli.request import request_of
from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors
    from builder.request import BuildRequest


def run(arguments: Arguments, console: Console, doors: Doors) -> int:
    request = request_of(arguments, console.environ, doors)
    call = arguments.one("call") or ("check" if arguments.flag("check") else "build")
    if call != "build":
        from builder.cli import call as calls

        return calls.answer(request, call, console)
    mode = mode_of(arguments, console)
    files = results.files_of(arguments)
    _check_stdout(request, arguments, console)
    _check_destinations(request, files)
    results.forget(files)
    result = shown(
        lambda show, cancelled: doors.build(request, show, cancelled), mode, console, "build", request.context
    )
    if isinstance(result, int):
        return result
    results.write(files, result, [str(doors.parse_reference(tag)) for tag in request.tags])
    if arguments.flag("quiet"):
        console.out(f"{result.digest}\n")
    return 0


def _check_destinations(request: BuildRequest, files: results.Files) -> None:
    """Two results in one file would leave the last one, and no word of the other."""
    named = [("--output", output.dest) for output in request.outputs if output.dest not in ("-", "")]
    named += [(f"--{name}", path) for name, path in (("iidfile", files.iid), ("metadata-file", files.metadata)) if path]
    seen: dict[str, str] = {}
    for option, path in named:
        place = os.path.realpath(path)
        if place in seen and not _is_device(place):
            raise UsageError(f"{option} and {seen[place]} both write {path}", hint="give each a file of its own")
        seen[place] = option


def _is_device(path: str) -> bool:
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def _check_stdout(request: BuildRequest, arguments: Arguments, console: Console) -> None:
    """An image on standard output must be the only thing there, and not go to a terminal."""
    streams = [output for output in request.outputs if output.dest == "-"]
    if len(streams) > 1:
        raise UsageError("only one --output can go to standard output")
    if streams and arguments.flag("quiet"):
        raise UsageError("--quiet prints the digest where --output writes: give one of them a file", hint="--iidfile")
    if streams and console.stdout.isatty():
        raise UsageError("--output: refusing to write an archive to a terminal", hint="add dest=FILE, or a pipe")
