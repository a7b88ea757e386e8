"""A tiny image of busybox, and a place to run commands over it."""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from builder.sandbox import userns
from builder.sandbox.process import Command, run
from tests.support.forked import forked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from builder.sandbox.tiers import Tier

BUSYBOX = "/bin/busybox"
APPLETS = tuple(
    """cat chmod chown dd echo env false grep hostname id ip kill ln ls mkdir mount mv nc ps pwd readlink rm
    sed seq sh sleep stat test touch tr true umask wc yes""".split()  # noqa: SIM905
)


class Result(NamedTuple):
    code: int
    out: list[str]
    err: list[str]


class Place:
    """Directories for runs over one image, below `base`. Each run gets its own upper directory."""

    def __init__(self, base: Path, tier: Tier) -> None:
        self.base = base
        self.tier = tier
        self.image = base / "image"
        self.runs = 0
        for name in ("image/bin", "scratch", "stubs"):
            (base / name).mkdir(parents=True)
        shutil.copy(BUSYBOX, self.image / "bin/busybox")
        for applet in APPLETS:
            (self.image / "bin" / applet).symlink_to("busybox")
        (base / "hosts").write_text("127.0.0.1 localhost\n")
        (base / "resolv.conf").write_text("nameserver 192.0.2.1\n")

    @property
    def upper(self) -> Path:
        """Of the latest run."""
        return self.base / f"upper{self.runs}"

    def command(self, *argv: str, **fields: Any) -> Command:
        self.runs += 1
        work = self.base / f"work{self.runs}"
        self.upper.mkdir()
        work.mkdir()
        values: dict[str, Any] = {
            "argv": argv,
            "env": ("PATH=/bin",),
            "cwd": "/",
            "uid": 0,
            "gid": 0,
            "groups": (),
            "network": "none",
            "hostname": "box",
            "lowers": (str(self.image),),
            "upper": str(self.upper),
            "work": str(work),
            "hosts": str(self.base / "hosts"),
            "resolv_conf": str(self.base / "resolv.conf"),
            "stubs": str(self.base / "stubs"),
            "scratch": str(self.base / "scratch"),
        }
        return Command(**values | fields)

    def run(self, *argv: str, **fields: Any) -> Result:
        """In a forked child of its own, which enters the tier."""
        command = self.command(*argv, **fields)
        return forked(lambda: collect(self.tier, command))

    def sh(self, script: str, **fields: Any) -> Result:
        return self.run("sh", "-c", script, **fields)

    def inside(self, function: Callable[[], Any]) -> Any:
        """`function` in a forked child that has entered the tier."""

        def enter_and_call() -> Any:
            userns.enter(self.tier)
            return function()

        return forked(enter_and_call)

    def left_in_upper(self) -> list[str]:
        return sorted(
            os.path.relpath(os.path.join(path, name), self.upper)
            for path, directories, files in os.walk(self.upper)
            for name in directories + files
        )


def collect(tier: Tier, command: Command, cancelled: Any = None) -> Result:
    """Enter the tier, run, and keep the output."""
    userns.enter(tier)
    streams: dict[int, list[str]] = {1: [], 2: []}

    def keep(stream: int, line: bytes) -> None:
        streams[stream].append(line.decode("utf-8", "replace"))

    code = run(command, keep, cancelled or threading.Event())
    return Result(code, streams[1], streams[2])
