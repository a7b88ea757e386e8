"""Leases: how a process says that it is alive, so that nobody takes its staging files for rubbish.

A lease is a file leases/<pid>[.<n>] that its owner keeps flock'ed, and a directory of the same name
under tmp/. The kernel drops the lock when the owner dies, however it dies. `<n>` is for processes with
the same pid in different pid namespaces. Whoever removes tmp/<lease> holds its lock while doing so.
"""

from __future__ import annotations

import fcntl
import os
from _thread import allocate_lock
from contextlib import suppress
from itertools import count

from builder.store.files import remove_tree
from builder.store.paths import LEASES, TMP, store_errors


class Lease:
    """This process's lease on the store at `root`; taken when something is first staged."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._guard = allocate_lock()  # threading costs more to import than the store takes to open
        self._numbers = count(1)
        self._fd = -1
        self._pid = 0
        self.name = ""

    def staging(self, prefix: str) -> str:
        """A path under tmp/ that nothing else uses and that lives as long as this process."""
        with self._guard, store_errors(f"write to the store {self._root}"):
            # A forked child is another process: it may outlive its parent's lease.
            if self._pid != os.getpid():
                self._acquire()
            return f"{self._root}/{TMP}/{self.name}/{prefix}-{next(self._numbers)}"

    def release(self) -> None:
        """Remove what is staged and give the lease up. What cannot be removed is left to `sweep`."""
        with self._guard:
            if self._pid == os.getpid():
                _clear(self._root, self.name)
                os.close(self._fd)
            self._pid, self._fd, self.name = 0, -1, ""

    def _acquire(self) -> None:
        pid = os.getpid()
        for number in count():
            name = f"{pid}.{number}" if number else str(pid)
            fd = _try_lock(f"{self._root}/{LEASES}/{name}")
            if fd is None:
                continue
            staging = f"{self._root}/{TMP}/{name}"
            if not os.path.lexists(staging) or remove_tree(staging):
                os.mkdir(staging, 0o700)
                self._fd, self._pid, self.name = fd, pid, name
                return
            os.close(fd)


def sweep(root: str, mine: str = "") -> None:
    """Remove the staging files of processes that are dead. Never fails: what stays is tried again later."""
    with suppress(OSError):
        for entry in os.listdir(f"{root}/{TMP}"):
            if entry != mine:
                _sweep_one(root, entry)


def _sweep_one(root: str, name: str) -> None:
    with suppress(OSError):
        fd = _try_lock(f"{root}/{LEASES}/{name}")
        if fd is not None:
            _clear(root, name)
            os.close(fd)


def _clear(root: str, name: str) -> None:
    """Remove a lease whose lock is held, with its files; the lease stays while some of them do."""
    with suppress(OSError):
        staging = f"{root}/{TMP}/{name}"
        if not os.path.lexists(staging) or remove_tree(staging):
            os.unlink(f"{root}/{LEASES}/{name}")


def _try_lock(path: str) -> int | None:
    """The descriptor of the locked file at `path`, made if missing; None if another process has it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        # A sweeper may have unlinked the file between our open and our lock: then it is no lease.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        os.close(fd)
