"""Which ids a user namespace of ours can map: the user's own as 0, and what /etc/subuid grants."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.errors import SandboxError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

IDS = 65536  # what images expect: 0..65535


class Extent(NamedTuple):
    """One line of /proc/PID/uid_map."""

    inside: int
    outside: int
    length: int


class IdMaps(NamedTuple):
    uids: tuple[Extent, ...]
    gids: tuple[Extent, ...]
    helpers: bool  # written by newuidmap and newgidmap, not by us


class NoSubIds(SandboxError):
    """There is no range of ids for this user; `expected` when something on the host suggests otherwise."""

    def __init__(self, message: str, *, hint: str, expected: bool) -> None:
        super().__init__(message, hint=hint)
        self.expected = expected


def single() -> IdMaps:
    return IdMaps((Extent(0, os.geteuid(), 1),), (Extent(0, os.getegid(), 1),), helpers=False)


def many() -> IdMaps:
    """Maps of 0..65535. Root maps each id to itself; anyone else needs subordinate ids and the helpers."""
    if os.geteuid() == 0:
        own_uids, own_gids = (_identity(_read_map(f"/proc/self/{name}")) for name in ("uid_map", "gid_map"))
        if own_uids and own_gids:
            return IdMaps(own_uids, own_gids, helpers=False)
    uids, gids = _ranges("/etc/subuid", os.geteuid()), _ranges("/etc/subgid", os.geteuid())
    if not uids or not gids:
        raise NoSubIds(_no_range(uids, gids), hint=SUBID_HINT, expected=bool(uids or gids))
    for helper in ("newuidmap", "newgidmap"):
        if find_helper(helper) is None:
            raise NoSubIds(f"{helper} is not installed", hint=HELPER_HINT, expected=True)
    return IdMaps(_extents(os.geteuid(), uids), _extents(os.getegid(), gids), helpers=True)


SUBID_HINT = "as root: usermod --add-subuids 165536-231071 --add-subgids 165536-231071 USER"
HELPER_HINT = "install newuidmap and newgidmap (package uidmap on Debian and Ubuntu, shadow-utils on Fedora)"


def _no_range(uids: list[tuple[int, int]], gids: list[tuple[int, int]]) -> str:
    files = [name for name, ranges in (("/etc/subuid", uids), ("/etc/subgid", gids)) if not ranges]
    return f"no range of subordinate ids for this user in {' and '.join(files)}"


def _read_map(path: str) -> list[Extent]:
    with open(path) as file:
        return sorted(Extent(*map(int, line.split())) for line in file)


def _identity(own: Iterable[Extent]) -> tuple[Extent, ...] | None:
    """Each of 0..65535 to itself, cut where our own map is: the kernel wants extents inside one of ours."""
    extents: list[Extent] = []
    covered = 0
    for row in own:
        taken = min(row.length, IDS - covered)
        if row.inside != covered or taken <= 0:
            break
        extents.append(Extent(covered, covered, taken))
        covered += taken
    return tuple(extents) if covered == IDS else None


def _ranges(path: str, uid: int) -> list[tuple[int, int]]:
    """(start, count) of the lines that name this user, by name or number."""
    owners = {str(uid), _user_name(uid)}
    try:
        with open(path) as file:
            rows = [line.strip().split(":") for line in file]
    except OSError:
        return []
    found = [(int(row[1]), int(row[2])) for row in rows if len(row) == 3 and row[0] in owners]
    return found if sum(count for _, count in found) >= IDS - 1 else []


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _extents(own: int, ranges: list[tuple[int, int]]) -> tuple[Extent, ...]:
    extents = [Extent(0, own, 1)]
    inside = 1
    for start, count in ranges:
        taken = min(count, IDS - inside)
        if taken > 0:
            extents.append(Extent(inside, start, taken))
            inside += taken
    return tuple(extents)


def find_helper(name: str) -> str | None:
    """A set-uid helper, from the directories of the system alone: PATH may hold anything."""
    for directory in ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/run/wrappers/bin"):
        if os.access(f"{directory}/{name}", os.X_OK):
            return f"{directory}/{name}"
    return None
