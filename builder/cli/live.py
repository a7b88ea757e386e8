"""Work that takes a while: its progress on standard error, and signals that stop it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from builder.cli.signals import Interrupts
from builder.errors import BuildError, Cancelled, UsageError, of_system
from builder.progress.renderer import renderer, resolve

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.events import Emit

T = TypeVar("T")


def mode_of(arguments: Arguments, console: Console) -> str:
    """What --quiet and --progress mean on this standard error."""
    if arguments.flag("quiet"):
        return "quiet"
    mode = arguments.one("progress") or "auto"
    if mode == "tty" and not console.stderr.isatty():
        raise UsageError("--progress tty: standard error is not a terminal", hint="auto chooses by itself")
    return resolve(mode, console.stderr, console.term)


def shown(
    work: Callable[[Emit, threading.Event], T], mode: str, console: Console, word: str, context: str | None = None
) -> T | int:
    """What `work` gives, or the exit status after telling what it failed for. `word` is its name in messages.

    `context` is the directory that places in errors may be relative to.
    """
    try:
        return _watched(work, mode, console, word)
    except BuildError as error:
        return _failed(error, mode, console, context)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        return _failed(of_system(error), mode, console, context)


def _watched(work: Callable[[Emit, threading.Event], T], mode: str, console: Console, word: str) -> T:
    show = renderer(mode, console.stderr, colour=console.colour)
    with Interrupts() as interrupts, _thread_faults(console):
        try:
            result = work(show, interrupts.cancelled)
        except Exception as error:
            if interrupts.status is None:
                raise
            raise _stopped(interrupts.status, word) from error
        finally:
            show.close()
    if interrupts.status is not None:
        raise _stopped(interrupts.status, word)
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


def _stopped(status: int, word: str) -> Cancelled:
    """Whatever work stumbles over while it is being stopped, the signal is the reason."""
    error = Cancelled(f"the {word} was cancelled")
    error.exit_status = status
    return error


def _failed(error: BuildError, mode: str, console: Console, context: str | None) -> int:
    if console.debug:
        raise error
    if mode == "json":
        from builder.progress.json_lines import error_line

        console.err(error_line(error, error.exit_status))
    else:
        from builder.cli.errors import render

        console.err(render(error, colour=console.colour, context=context))
    return error.exit_status
