"""The time that stands for "now" in an image: SOURCE_DATE_EPOCH, or what can be known without asking a clock.

SOURCE_DATE_EPOCH (build argument, environment, global ARG) → commit time of a clean git context
→ creation time of the base image → 0
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.dockerfile.epoch_value import CONTEXT, NAME
from builder.dockerfile.gitref import parse_gitref
from builder.errors import DockerfileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from builder.dockerfile.epoch_value import Epoch
    from builder.errors import BuildError

_LIMIT = 253402300799  # 9999-12-31T23:59:59Z, the last second that RFC 3339 can write


def choose(
    said: Epoch,
    context: str,
    base_created: str,
    times: Mapping[str, int],
    contexts: Container[str],
    fetched: int | None = None,
) -> int:
    """Seconds of the epoch. Raises for a value that is no such number and names nothing that has a time.

    `times` are when contexts were last changed, "" the main one: of a commit, or of an archive. Of the other
    `contexts` that is not known: they are directories. `fetched` is the time of what a stage fetches.
    """
    if said.source is not None:
        return _known(said, fetched)
    name = "" if said.value == CONTEXT else said.value
    if said.value and name in times:
        return times[name]
    if said.value and name not in contexts:
        return _number(said)
    if "" in times and parse_gitref(context) is not None:
        return times[""]
    committed = git_commit_time(context) if os.path.isdir(context) else None
    if committed is not None:
        return committed
    return _parse_time(base_created) if base_created else 0


def _known(said: Epoch, fetched: int | None) -> int:
    if fetched is not None:
        return fetched
    raise _wrong(said, "does not say a time", "the server of its address sends no Last-Modified")


def _wrong(said: Epoch, reason: str, hint: str) -> BuildError:
    text = f"{NAME}={said.value!r} {reason}"
    return DockerfileError(text, span=said.span, hint=hint) if said.span else UsageError(text, hint=hint)


def rfc3339(epoch: int) -> str:
    """The time as image documents write it: 2026-01-31T12:00:00Z."""
    import time

    year, month, day, hour, minute, second = time.gmtime(epoch)[:6]
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"


def _number(said: Epoch) -> int:
    text = said.value
    if text.isascii() and text.isdecimal() and len(text) < 13 and int(text) <= _LIMIT:
        return int(text)
    raise _wrong(
        said,
        "is not a time",
        "give whole seconds since 1970-01-01, as `git log -1 --format=%ct` prints, `context`, or the name of a\n"
        "  build context or of a stage that is FROM scratch with one ADD of an address",
    )


def _parse_time(text: str) -> int:
    """Whole seconds of an RFC 3339 time; 0 when an image's creation time is not one."""
    import re

    match = re.match(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([-+])(\d\d):(\d\d))$", text)
    if not match or not 1 <= int(match[2]) <= 12:
        return 0
    offset = 0
    if match[7]:
        offset = (int(match[8]) * 3600 + int(match[9]) * 60) * (1 if match[7] == "+" else -1)
    hour, minute, second = (int(match[part]) for part in (4, 5, 6))
    days = _days(int(match[1]), int(match[2]), int(match[3]))
    return max(0, days * 86400 + hour * 3600 + minute * 60 + second - offset)


def _days(year: int, month: int, day: int) -> int:
    """From 1970-01-01, in the Gregorian calendar. The module calendar would cost a cached build 4 ms, by datetime."""
    # Years that begin in March have their odd day last; 400 of them are always 146,097 days.
    year -= month < 3
    within = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + within - 719468


def git_commit_time(context: str) -> int | None:
    """Commit time of HEAD when `context` lies in a git work tree and nothing in it differs from HEAD.

    git itself is asked, so that its check of who owns the repository stands between us and the
    configuration of a stranger's. No hook and no monitor of the repository is run.
    """
    if not _in_work_tree(os.path.realpath(context)):
        return None
    safe = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-C", context)
    log = _start((*safe, "log", "-1", "--format=%ct"))
    status = _start((*safe, "status", "--porcelain", "--", "."))
    committed, changes = _finish(log), _finish(status)
    if committed is None or changes != b"" or not committed.strip().isdigit():
        return None
    return int(committed)


def _in_work_tree(directory: str) -> bool:
    while not os.path.lexists(os.path.join(directory, ".git")):
        above = os.path.dirname(directory)
        if above == directory:
            return False
        directory = above
    return True


def _start(argv: tuple[str, ...]) -> tuple[int, int] | None:
    """(pid, descriptor of its output). posix_spawn, because importing subprocess costs more than running git."""
    reading, writing = os.pipe()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    actions = [
        (os.POSIX_SPAWN_DUP2, writing, 1),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
    ]
    try:
        pid = os.posix_spawnp(argv[0], argv, environment, file_actions=actions)
    except OSError:
        os.close(reading)
        return None
    finally:
        os.close(writing)
    return pid, reading


def _finish(started: tuple[int, int] | None) -> bytes | None:
    """What the process printed; None when it failed or could not start."""
    if started is None:
        return None
    pid, reading = started
    with open(reading, "rb") as output:
        printed = output.read()
    _, status = os.waitpid(pid, 0)
    return printed if status == 0 else None
