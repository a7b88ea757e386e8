"""From argv to exit status. The one entry, and the one place where an error becomes words."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from builder.cli import argv as reader
from builder.cli.commands import COMMANDS, command
from builder.cli.console import Console, abandon, of_process
from builder.cli.doors import Doors
from builder.errors import BuildError, of_system

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.cli.options import Command

BROKEN_PIPE, INTERRUPTED, INTERNAL = 141, 130, 70


def main(words: Sequence[str] | None = None, console: Console | None = None, doors: Doors | None = None) -> int:
    """Runs one command line and returns its exit status; no exception leaves it."""
    console = console or of_process()
    words = sys.argv[1:] if words is None else words
    try:
        status = _dispatch(words, console, doors or Doors())
        console.flush()
    except BrokenPipeError:
        status = BROKEN_PIPE
    except KeyboardInterrupt:
        status = INTERRUPTED
    except Exception as error:  # noqa: BLE001 (whatever it is, no traceback may reach the user)
        status = _report(error, console)
    _settle(console)
    return status


def _settle(console: Console) -> None:
    """What standard output would not take has been reported, what standard error would not is nobody's loss: the
    interpreter shall not try again, and fail."""
    for descriptor, stream in ((1, console.stdout), (2, console.stderr)):
        try:
            stream.flush()
        except OSError:
            abandon(descriptor)


def _dispatch(words: Sequence[str], console: Console, doors: Doors) -> int:
    if _wants_screen(words, console):
        from builder.cli import screens

        return screens.show(words)
    chosen, rest = _choose(words)
    arguments = reader.read(chosen, rest)
    if arguments.flag("help"):
        from builder.cli import screens

        return screens.show(["--help"] if rest is words else [chosen.name, "--help"])
    return _load(chosen)(arguments, console, doors)


def _wants_screen(words: Sequence[str], console: Console) -> bool:
    """Help and completion, which are typer's: `help`, its options, and a shell asking for completions."""
    if "_RBUILD_COMPLETE" in console.environ:
        return True
    return bool(words) and words[0].partition("=")[0] in ("help", "--install-completion", "--show-completion")


def _choose(words: Sequence[str]) -> tuple[Command, Sequence[str]]:
    """The command that the first word names, else build: `rbuild --target client .`"""
    if words and words[0] == "--version":
        words = ("version", *words[1:])
    named = command(words[0]) if words else None
    return (named, words[1:]) if named else (COMMANDS[0], words)


def _load(chosen: Command) -> Callable[..., int]:
    from importlib import import_module

    module, _, function = chosen.run.partition(":")
    run: Callable[..., int] = getattr(import_module(module), function)
    return run


def _report(error: Exception, console: Console) -> int:
    if console.debug:
        import traceback

        console.err("".join(traceback.format_exception(error)))
    from builder.cli import errors

    if isinstance(error, BuildError):
        console.err(errors.render(error, colour=console.colour))
        return error.exit_status
    if isinstance(error, OSError):
        console.err(errors.render(of_system(error), colour=console.colour))
        return 1
    exhausted = errors.of_exhaustion(error)
    if exhausted:
        console.err(errors.render(exhausted, colour=console.colour))
        return exhausted.exit_status
    console.err(errors.internal(error, colour=console.colour))
    return INTERNAL
