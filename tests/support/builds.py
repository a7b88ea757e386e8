"""Whole builds in tests: a context of a few files, the stand-in base images, and what the events of a build say."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.command import Rbuild
from tests.support.tools import ROOT

GUIDE = ROOT / "examples" / "multistage"

BUSYBOX = """\
FROM scratch
COPY --chmod=755 busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/usr/local/go/bin:/bin
"""

# What the guide's Dockerfiles ask of a Go compiler, without one. A program is the text of its source.
GO = """\
#!/bin/sh
test "$1" = build || exit 0
sleep "${SECONDS_TO_COMPILE:-0}"
cat "$4"/*.go >"$3" && chmod 755 "$3"
"""


class Build(NamedTuple):
    """What a build told with --progress=json."""

    events: list[dict[str, Any]]

    def __getitem__(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    def steps(self, kind: str) -> list[str]:
        """The instructions of the steps of which this kind of event tells, without their labels, in order."""
        return [event["step"].partition("] ")[2] for event in self[kind]]

    def stages(self, kind: str) -> set[str]:
        return {event["stage"] for event in self[kind]}

    def interval(self, stage: str) -> tuple[float, float]:
        """From the start of the first step that ran in a stage to the end of the last."""
        times = [event["time"] for event in self.events if event.get("stage") == stage]
        return min(times), max(times)

    @property
    def digest(self) -> str:
        return str(self["ImageReady"][-1]["digest"])

    @property
    def error(self) -> dict[str, Any]:
        (error,) = self["Error"]
        return error


def told(run: subprocess.CompletedProcess[str]) -> Build:
    return Build([json.loads(line) for line in run.stderr.splitlines()])


def build(rbuild: Rbuild, *arguments: str | Path, status: int = 0, cwd: Path | None = None) -> Build:
    return told(rbuild("build", "--progress=json", *arguments, status=status, cwd=cwd))


def write_context(directory: Path, dockerfile: str, files: Mapping[str, str] = {}) -> Path:
    """A build context of text files. Their modes are inputs of a build, so they do not follow the umask."""
    for name, content in {"Dockerfile": dockerfile, **files}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o644)
    for path in [directory, *directory.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    return directory


def build_busybox(rbuild: Rbuild, busybox: Path, scratch: Path) -> str:
    """Builds `busybox`, the smallest image in which RUN works; its digest."""
    write_context(scratch, BUSYBOX)
    shutil.copyfile(busybox, scratch / "busybox")
    (scratch / "busybox").chmod(0o644)
    return build(rbuild, "-t", "busybox", scratch).digest


def build_go(rbuild: Rbuild, scratch: Path, seconds: float = 0) -> str:
    """Builds the `golang:1.21-alpine` of these tests on `busybox`; its digest."""
    dockerfile = "FROM busybox\nCOPY --chmod=755 go /usr/local/go/bin/go\n"
    environment = f"ENV SECONDS_TO_COMPILE={seconds}\n" if seconds else ""
    write_context(scratch, dockerfile + environment, {"go": GO})
    return build(rbuild, "-t", "golang:1.21-alpine", scratch).digest
