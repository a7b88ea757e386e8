"""What runs on this machine: to wait for a step to be there, and to see that it is gone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def alive(marker: str) -> list[int]:
    """Processes whose command line has `marker`: steps are visible from outside their pid namespace."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if marker.encode() in file.read():
                    found.append(int(pid))
        except OSError:
            continue  # gone meanwhile
    return found


def holding(store: Path) -> list[str]:
    """Processes with the store in a mount of theirs: a RUN that outlived its build."""
    mine = os.readlink("/proc/self/ns/mnt")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "ns/mnt") != mine and str(store) in (process / "mountinfo").read_text():
                found.append(process.name)
        except OSError:
            continue  # gone meanwhile, or another user's
    return found


def wait_until(condition: Callable[[], object], seconds: float = 5) -> float:
    """How long it took; an AssertionError when it takes longer than `seconds`."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "took too long"
        time.sleep(0.01)
    return time.monotonic() - start
