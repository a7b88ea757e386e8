"""rbuild lock: write down what the sources of a Dockerfile are, beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cli.build_options import ALL
from builder.cli.live import mode_of, shown
from builder.cli.request import request_of
from builder.errors import LockError, UsageError
from builder.sources.lock import PLATFORM

if TYPE_CHECKING:
    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors
    from builder.locking import Change, Locked, Update

_SHORT = 19  # sha256: and twelve digits


def run(arguments: Arguments, console: Console, doors: Doors) -> int:
    from builder import locking

    mode = mode_of(arguments, console)
    update = _update(arguments.all("update"))
    request = request_of(arguments, console.environ, doors)
    if arguments.one("pull") is None and (update.all or update.names):
        request = request._replace(pull="newer")
    found = shown(lambda emit, stop: locking.look(request, update, emit, stop), mode, console, "lock", request.context)
    if isinstance(found, int):
        return found
    if not found.is_current and not arguments.flag("check"):
        locking.write(found)
    console.out(summary(found))
    return _checked(found) if arguments.flag("check") else 0


def _checked(found: Locked) -> int:
    if not found.is_current:
        raise LockError(f"{found.file} is out of date", hint="rbuild lock, with the same options, writes it")
    return 0


def _update(given: tuple[str, ...]) -> Update:
    from builder.locking import Update

    if ALL in given and len(set(given)) > 1:
        hint = "use one of them"
        raise UsageError("--update alone looks everything up again, and --update NAME one source", hint=hint)
    return Update((), all=True) if ALL in given else Update(given)


def summary(found: Locked) -> str:
    """One line a change, then how many there are."""
    lines = [f"{_line(change)}\n" for change in found.changes]
    words = [change.word for change in found.changes if change.entry.kind != PLATFORM]
    told = [f"{words.count(word)} {word}" for word in ("added", "updated", "removed") if word in words]
    state = ", ".join(told) or ("up to date" if found.is_current else "written anew")
    sources = "1 source" if found.sources == 1 else f"{found.sources} sources"
    return "".join(lines) + f"{found.file}: {state} ({sources})\n"


def _line(change: Change) -> str:
    values = " -> ".join(value[:_SHORT] for value in (change.before, change.after) if value)
    comments = [*change.entry.above, change.entry.beside] if change.word == "removed" else []
    return " ".join(filter(None, (f"{change.word:8}", change.entry.source, values, *comments)))
