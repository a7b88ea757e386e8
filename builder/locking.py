"""`rbuild lock`: all that a Dockerfile needs from elsewhere, looked up and written down.

old lock ─► pins of what stays ─► plans of all targets ─► needs ─► their values ─► new lock
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from builder.errors import BuildError, LockError, Span, UsageError, remedy
from builder.events import Notice
from builder.needs import Need
from builder.oci.platform import parse_platform
from builder.planning import Planned
from builder.sources.lock import PLATFORM, Entry, Lock, lock_text
from builder.sources.lock_file import LockFile, path_for, read_lock
from builder.sources.pins import IMAGE, NO_PINS, LockPins
from builder.store.store import Store
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.events import Emit, Flag
    from builder.request import BuildRequest
    from builder.sources.pins import Pins

_HEAD = (
    "# What the Dockerfile takes from elsewhere, as `rbuild lock` found it. Comments stay with the line below them.",
)
_AT_ONCE = 6


class Update(NamedTuple):
    """What is looked up again: the entries of these names, or with `all` every one."""

    names: tuple[str, ...] = ()
    all: bool = False


class Change(NamedTuple):
    """A line that is "added", "updated" or "removed"; `entry` holds the comments that go with it."""

    word: str
    entry: Entry
    before: str = ""
    after: str = ""


class Locked(NamedTuple):
    """`text` is what the file has to be, `is_current` whether it was so already, `sources` how many it has."""

    file: str
    changes: tuple[Change, ...]
    sources: int
    text: str
    is_current: bool


def look(request: BuildRequest, update: Update, emit: Emit, cancelled: Flag) -> Locked:
    """What the lock has to be. Nothing is written but the store. Raises BuildError."""
    path = path_for(request.context, request.dockerfile, request.lock)
    if path is None:
        raise UsageError("this Dockerfile has no place on this machine for a lock", hint="--lock FILE names one")
    old = read_lock(path) or LockFile(os.path.normpath(path), Lock(head=_HEAD))
    again = _chosen(old, update)
    request = request._replace(platforms=request.platforms or old.lock.platforms, locked=False)
    pins = LockPins(_without(old.lock, again), old.file)
    with Store.open(request.store) as store, Planned(request, store, cancelled, pins) as planned:
        needs = _needs(planned, request, old)
        platforms = [Entry(PLATFORM, str(platform)) for platform in dict.fromkeys(planned.platforms)]
        entries = platforms + _entries(planned, needs, pins)
        for message in planned.search.warnings:
            emit(Notice(time.monotonic(), "warning", message))
    new = old.lock.with_entries(entries)
    text = lock_text(new)
    return Locked(old.file, _changes(old.lock, new), len(new.sources), text, text.encode() == old.content)


def write(locked: Locked) -> None:
    """Put the lock into its place, whole or not at all; a link stays one."""
    from builder.store.files import rename_durably, write_file

    target = os.path.realpath(locked.file)
    staged = f"{target}.{os.getpid()}.new"
    try:
        write_file(staged, locked.text.encode(), durable=True)
        try:
            if os.path.exists(target):
                os.chmod(staged, os.stat(target).st_mode & 0o777)
            rename_durably(staged, target)
        except OSError:
            os.unlink(staged)
            raise
    except OSError as error:
        raise LockError(f"cannot write {locked.file}: {error.strerror}", hint=remedy(error)) from error


def _chosen(old: LockFile, update: Update) -> frozenset[tuple[str, str, str]]:
    """The keys of what is looked up again. UsageError for a name that the lock does not know."""
    if update.all:
        return frozenset(entry.key for entry in old.lock.sources)
    return frozenset(entry.key for name in update.names for entry in _named(name, old))


def _named(name: str, old: LockFile) -> tuple[Entry, ...]:
    from builder.dockerfile.faults import did_you_mean
    from builder.sources.lock import familiar, named

    found = named(old.lock, name)
    if not found:
        near = did_you_mean(name, map(familiar, old.lock.sources))
        raise UsageError(f"--update {name}: not in {old.file}", hint=near or "its lines name what can be updated")
    return found


def _without(lock: Lock, keys: frozenset[tuple[str, str, str]]) -> Lock:
    return lock._replace(entries=tuple(entry for entry in lock.entries if entry.key not in keys))


def _needs(planned: Planned, request: BuildRequest, old: LockFile) -> list[Need]:
    """Those of all targets, or of the one asked for, and of images on platforms that others build on."""
    if request.target is None:
        planned.plan_all()
    found = list(planned.needs)
    names = {need.name for need in found if need.kind == IMAGE}
    known = {need.key for need in found}
    gone = set(old.lock.platforms) - {str(platform) for platform in planned.platforms}
    # FROM --platform=$BUILDPLATFORM is one image here, and another one on a colleague's machine.
    others = [entry for entry in old.lock.sources if entry.name in names and entry.platform not in gone]
    return found + [_kept(entry, old.file) for entry in others if entry.key not in known]


def _kept(entry: Entry, file: str) -> Need:
    span = Span(file, entry.line, entry.line)
    return Need(IMAGE, entry.name, entry.platform, str(span), span)


def _entries(planned: Planned, needs: Sequence[Need], pins: Pins) -> list[Entry]:
    """Each with what it is now, unless a pin says it; several are asked for at a time."""
    from concurrent.futures import ThreadPoolExecutor

    planned.fetcher.pins = NO_PINS  # what the Dockerfile says by now counts more
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lock") as pool:
        values = pool.map(lambda need: _value(planned, need, pins), needs)
        return [Entry(*need[:3], value) for need, value in zip(needs, values, strict=True)]


def _value(planned: Planned, need: Need, pins: Pins) -> str:
    pinned = need.pinned(pins)
    if pinned and pinned.startswith(need.said.lower()):
        return pinned
    try:
        return _found(planned, need)
    except BuildError as error:
        error.span = error.span or need.span
        raise


def _found(planned: Planned, need: Need) -> str:
    match need.kind:
        case "image":
            return _manifest(planned, need)
        case "git":
            commit = planned.fetcher.commit(*need.words)
            if not commit.startswith(need.said.lower()):
                raise LockError(
                    f"{need.name} is commit {commit}, and not {need.said}",
                    hint="the ref was moved, or the checksum is of another one",
                )
            return commit
        case _:
            return need.said or f"sha256:{planned.fetcher.http(*need.words).content[1]}"


def _manifest(planned: Planned, need: Need) -> str:
    key = (need.name, need.platform)
    if key not in planned.resolver.pinned:
        assert need.span is not None
        planned.resolver.resolve(need.name, parse_platform(need.platform), need.span)
    return planned.resolver.pinned[key][1]


def _changes(old: Lock, new: Lock) -> tuple[Change, ...]:
    before = {entry.key: entry for entry in old.entries}
    after = {entry.key: entry for entry in new.entries}
    return tuple(_differences(before, after))


def _differences(
    before: dict[tuple[str, str, str], Entry], after: dict[tuple[str, str, str], Entry]
) -> Iterator[Change]:
    for key, entry in after.items():
        if key not in before:
            yield Change("added", entry, after=entry.value)
        elif before[key].value != entry.value:
            yield Change("updated", entry, before[key].value, entry.value)
    for key, entry in before.items():
        if key not in after:
            yield Change("removed", entry, before=entry.value)
