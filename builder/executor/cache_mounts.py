"""RUN --mount=type=cache: directories that outlive a build, shared by all builds of a store.

    mounts/<owners>/<hash of id and seed>/<n>/        the content; n counts those in use at once
    mounts/<owners>/<hash of id and seed>/<n>.lock    flock'ed by whoever has it mounted

shared takes the first directory that nobody holds alone, private the first that nobody holds, locked
waits for the only one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from itertools import count
from typing import TYPE_CHECKING

from builder.errors import Cancelled
from builder.store.files import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack

    from builder.events import Flag
    from builder.graph.ops import MountPoint

TICK = 0.1  # seconds between two attempts at a lock


def directory_of(root: str, owners: str, mount: MountPoint, seed: Sequence[str]) -> str:
    """Where the directories of one cache are. What makes the new directory is a part of its name."""
    parts = [mount.id, list(seed), mount.path if seed else "", mount.mode, mount.uid, mount.gid]
    name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return f"{root}/mounts/{owners}/{name}"


class Cache:
    """One cache as one step mounts it. `seed(path)` fills a new directory, or makes an empty one."""

    def __init__(self, directory: str, mount: MountPoint, seed: Callable[[str], None], renewed: str | None) -> None:
        """`renewed`: a file that tells that this build has begun the cache anew already; None to keep what is there."""
        self.directory = directory
        self._mount = mount
        self._seed = seed
        self._renewed = renewed

    def take(self, stack: ExitStack, cancelled: Flag) -> str:
        """The directory to mount, held until `stack` closes. Cancelled while it waits for a lock."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        number, fd = self._lock(cancelled)
        stack.callback(os.close, fd)
        path = f"{self.directory}/{number}"
        self._renew(path, fd)
        if not os.path.isdir(path):
            remove_tree(f"{path}.new")
            self._seed(f"{path}.new")
            os.rename(f"{path}.new", path)
        if self._mount.sharing == "shared":
            fcntl.flock(fd, fcntl.LOCK_SH)
        return path

    def _renew(self, path: str, fd: int) -> None:
        if self._renewed and not os.path.exists(self._renewed) and _alone(fd):
            if os.path.isdir(path):
                remove_tree(path)
            with open(self._renewed, "wb"):
                pass

    def _lock(self, cancelled: Flag) -> tuple[int, int]:
        if self._mount.sharing == "locked":
            return 0, self._wait(cancelled)
        for number in count():
            fd = self._open(number)
            exists = os.path.isdir(f"{self.directory}/{number}")
            shared = self._mount.sharing == "shared" and exists and not self._renewed
            if _try(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
                return number, fd
            if self._mount.sharing == "shared" and self._patient(number, fd, cancelled):
                return number, fd
            os.close(fd)
        raise AssertionError

    def _patient(self, number: int, fd: int, cancelled: Flag) -> bool:
        """Another may just be making or sharing the directory: a moment later it can be shared."""
        for _ in range(10):
            if os.path.isdir(f"{self.directory}/{number}") and _try(fd, fcntl.LOCK_SH):
                return True
            _pause(cancelled)
        return False

    def _wait(self, cancelled: Flag) -> int:
        fd = self._open(0)
        while not _try(fd, fcntl.LOCK_EX):
            try:
                _pause(cancelled)
            except Cancelled:
                os.close(fd)
                raise
        return fd

    def _open(self, number: int) -> int:
        return os.open(f"{self.directory}/{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _pause(cancelled: Flag) -> None:
    if cancelled.is_set():
        raise Cancelled("cancelled")
    time.sleep(TICK)


def _try(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alone(fd: int) -> bool:
    return _try(fd, fcntl.LOCK_EX)
