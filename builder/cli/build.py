"""rbuild build: one request, its progress on standard error, its result on standard output and in files."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.cli import result as results
from builder.cli.request import request_of
from builder.cli.signals import Interrupts
from builder.errors import BuildError, Cancelled, UsageError, of_system
from builder.progress.renderer import renderer, resolve

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors
    from builder.request import BuildRequest, BuildResult


def run(arguments: Arguments, console: Console, doors: Doors) -> int:
    request = request_of(arguments, console.environ, doors)
    call = arguments.one("call") or ("check" if arguments.flag("check") else "build")
    if call != "build":
        from builder.cli import call as calls

        return calls.answer(request, call, console)
    mode = _mode(arguments, console)
    files = results.files_of(arguments)
    _check_stdout(request, arguments, console)
    _check_destinations(request, files)
    results.forget(files)
    try:
        result = _build(request, mode, console, doors)
    except BuildError as error:
        return _failed(error, mode, request, console)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        return _failed(of_system(error), mode, request, console)
    results.write(files, result, [str(doors.parse_reference(tag)) for tag in request.tags])
    if arguments.flag("quiet"):
        console.out(f"{result.digest}\n")
    return 0


def _build(request: BuildRequest, mode: str, console: Console, doors: Doors) -> BuildResult:
    show = renderer(mode, console.stderr, colour=console.colour)
    with Interrupts() as interrupts, _thread_faults(console):
        try:
            result = doors.build(request, show, interrupts.cancelled)
        except Exception as error:
            if interrupts.status is None:
                raise
            raise _stopped(interrupts.status) from error
        finally:
            show.close()
    if interrupts.status is not None:
        raise _stopped(interrupts.status)
    return result


@contextmanager
def _thread_faults(console: Console) -> Iterator[None]:
    """An exception that a thread lets go is one line on standard error, not a traceback."""
    import threading

    def tell(fault: threading.ExceptHookArgs) -> None:
        from builder.cli.errors import internal

        if isinstance(fault.exc_value, Exception):
            console.err(internal(fault.exc_value))

    before = threading.excepthook
    threading.excepthook = before if console.debug else tell
    try:
        yield
    finally:
        threading.excepthook = before


def _stopped(status: int) -> Cancelled:
    """Whatever a build stumbles over while it is being stopped, the signal is the reason."""
    error = Cancelled("the build was cancelled")
    error.exit_status = status
    return error


def _failed(error: BuildError, mode: str, request: BuildRequest, console: Console) -> int:
    if console.debug:
        raise error
    if mode == "json":
        from builder.progress.json_lines import error_line

        console.err(error_line(error, error.exit_status))
    else:
        from builder.cli.errors import render

        console.err(render(error, colour=console.colour, context=request.context))
    return error.exit_status


def _mode(arguments: Arguments, console: Console) -> str:
    if arguments.flag("quiet"):
        return "quiet"
    mode = arguments.one("progress") or "auto"
    if mode == "tty" and not console.stderr.isatty():
        raise UsageError("--progress tty: standard error is not a terminal", hint="auto chooses by itself")
    return resolve(mode, console.stderr, console.term)


def _check_destinations(request: BuildRequest, files: results.Files) -> None:
    """Two results in one file would leave the last one, and no word of the other."""
    named = [("--output", output.dest) for output in request.outputs if output.dest != "-"]
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
