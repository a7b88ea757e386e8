"""Signals during a build: the first asks it to stop, the second does not ask.

SIGINT 130   SIGTERM 143   SIGHUP 129
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOW_CURSOR = b"\x1b[?25h"


class Interrupts:
    """While entered, the first signal sets `cancelled` and is remembered in `status`."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.status: int | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interrupts:
        for number in _SIGNALS:
            # What was ignored stays ignored: nohup, and background jobs of a shell script.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self.status is not None:
            _leave(128 + number)
        self.status = 128 + number
        # Event.set takes a lock that the interrupted thread may be holding in Event.wait: so the set
        # is another thread's, started without the locks of threading.Thread.
        _thread.start_new_thread(self.cancelled.set, ())


def _leave(status: int) -> None:
    if os.isatty(2):
        os.write(2, _SHOW_CURSOR)
    os._exit(status)
