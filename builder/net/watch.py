"""Ends connections on which nothing is heard any more, or that nobody waits for: every read on them then returns.

Timeouts of sockets begin anew with every byte and know nothing of the user's Ctrl-C; this watch sees both.
"""

from __future__ import annotations

import time
from _thread import allocate_lock
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from builder.events import Flag

_TICK = 0.05
LEAST = 4096  # bytes that must come within the time of silence: a trickle is silence too


class Line:
    """One connection under watch. `silent` says that it was cut for want of bytes."""

    def __init__(self, sock: socket.socket) -> None:
        # A duplicate, for the socket itself is wrapped and replaced by TLS while we may have to end it.
        self._sock = sock.dup()
        self._guard = allocate_lock()
        self._open = True
        self._since: float | None = None
        self._limit = 0.0
        self._spent = 0.0
        self._got = 0
        self.silent = False

    @contextmanager
    def waiting(self, limit: float) -> Iterator[None]:
        """Within this block the other side has to give something; what it took to is added up until it was enough."""
        self._limit, self._since = limit, time.monotonic()
        try:
            yield
        finally:
            self._spent += time.monotonic() - self._since
            self._since = None

    def heard(self, count: int) -> None:
        self._got += count
        if self._got >= LEAST:
            self.reset()

    def reset(self) -> None:
        self._spent, self._got = 0.0, 0

    def overdue(self, now: float) -> bool:
        since = self._since
        return since is not None and self._spent + now - since > self._limit

    def cut(self) -> None:
        import socket

        with self._guard, suppress(OSError):
            if self._open:
                self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._guard:
            if self._open:
                self._open = False
                self._sock.close()


class Watch:
    """Looks at all lines in use, from one thread that lives while there are any."""

    def __init__(self, cancelled: Flag) -> None:
        self._cancelled = cancelled
        self._guard = allocate_lock()
        self._lines: set[Line] = set()
        self._running = False

    def add(self, line: Line) -> None:
        import threading

        with self._guard:
            self._lines.add(line)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="watch", daemon=True).start()

    def remove(self, line: Line) -> None:
        with self._guard:
            self._lines.discard(line)

    def _run(self) -> None:
        while True:
            time.sleep(_TICK)
            with self._guard:
                if not self._lines:
                    self._running = False
                    return
                lines = tuple(self._lines)
            self._look(lines)

    def _look(self, lines: tuple[Line, ...]) -> None:
        now, stopped = time.monotonic(), self._cancelled.is_set()
        for line in lines:
            if stopped or line.overdue(now):
                line.silent = not stopped
                line.cut()
