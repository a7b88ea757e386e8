"""Moves this process into its own user and mount namespace, once, before the first thread.

    parent                            child (forked first, stays outside)
    unshare(NEWUSER | NEWNS)          waits on a pipe
    closes the pipe ────────────────► writes the parent's maps, by newuidmap or as root
    waits                    ◄─────── ends with 0, or tells why not

With one id no child is needed: the kernel lets a process map its own id itself.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NoReturn

from builder import _native
from builder.errors import SandboxError
from builder.sandbox import idmaps
from builder.sandbox.mounts import MS_PRIVATE, MS_REC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.sandbox.idmaps import Extent, IdMaps
    from builder.sandbox.tiers import Tier

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000

_entered: list[Tier] = []  # a fact about this process: the kernel allows it once


def enter(tier: Tier) -> None:
    """After this, the process is uid 0 in the map of `tier` and its mounts are its own. Idempotent.

    Must be called before any thread is started (the kernel refuses otherwise). Nothing for tier none.
    Raises SandboxError when this host refuses, or when another tier has been entered already.
    """
    if tier == "none" or entered() == tier:
        return
    if _entered:
        raise SandboxError(f"this process is in tier {entered()} already and cannot enter {tier}")
    try:
        _enter(idmaps.many() if tier == "userns" else idmaps.single())
    except OSError as error:
        from builder.sandbox.remedies import explain

        raise explain(error, tier) from error
    _entered.append(tier)


def entered() -> Tier:
    """The tier that this process has entered; "none" before `enter`."""
    return _entered[0] if _entered else "none"


def _enter(maps: IdMaps) -> None:
    if len(maps.uids) == 1 and maps.uids[0].length == 1:
        _unshare()
        _write("/proc/self/setgroups", "deny")  # the kernel's price for writing a gid_map without privilege
        _write("/proc/self/uid_map", _rows(maps.uids))
        _write("/proc/self/gid_map", _rows(maps.gids))
    else:
        _enter_with_outside_help(maps)
    _native.mount(b"none", b"/", b"none", MS_REC | MS_PRIVATE, b"")


def _await_threads() -> None:
    """A thread that has been joined may be a moment from its end, and the kernel counts it until then."""
    until = time.monotonic() + 1
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < until:
        time.sleep(0.001)


def _unshare() -> None:
    _await_threads()
    _native.unshare(CLONE_NEWUSER | CLONE_NEWNS)


def _enter_with_outside_help(maps: IdMaps) -> None:
    go_read, go_write = os.pipe()
    told_read, told_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go_write)
        os.close(told_read)
        _map_when_told(maps, go_read, told_write)
    os.close(go_read)
    os.close(told_write)
    try:
        _unshare()
        os.write(go_write, b"g")
    finally:
        os.close(go_write)
        with open(told_read, "rb") as told:
            reason = told.read().decode("utf-8", "replace").strip()
        _, status = os.waitpid(pid, 0)
    if status != 0:
        raise OSError(1, f"write id maps: {reason or 'refused'}")


def _map_when_told(maps: IdMaps, go: int, told: int) -> NoReturn:
    """In the forked child. An end of file without a byte: unshare failed, there is nothing to map."""
    status = 1
    try:
        if os.read(go, 1):
            _write_maps(os.getppid(), maps, told)
        status = 0
    except OSError as error:
        os.write(told, f"{error.strerror} {error.filename or ''}".encode())
    finally:
        os._exit(status)


def _write_maps(pid: int, maps: IdMaps, told: int) -> None:
    if maps.helpers:
        _run_helper("newuidmap", pid, maps.uids, told)
        _run_helper("newgidmap", pid, maps.gids, told)
    else:
        _write(f"/proc/{pid}/uid_map", _rows(maps.uids))
        _write(f"/proc/{pid}/gid_map", _rows(maps.gids))


def _run_helper(name: str, pid: int, extents: Sequence[Extent], told: int) -> None:
    program = idmaps.find_helper(name) or name
    argv = [name, str(pid), *(str(number) for extent in extents for number in extent)]
    # Its own complaint is the best explanation there is. No environment: the helper is set-uid.
    child = os.posix_spawn(program, argv, {}, file_actions=[(os.POSIX_SPAWN_DUP2, told, 2)])
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise OSError(1, f"({name} failed)")


def _rows(extents: Sequence[Extent]) -> str:
    return "".join(f"{inside} {outside} {length}\n" for inside, outside, length in extents)


def _write(path: str, text: str) -> None:
    """One write call: the kernel takes a map whole or not at all."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"write: {os.strerror(error.errno or 0)}", path) from error
    finally:
        os.close(fd)
