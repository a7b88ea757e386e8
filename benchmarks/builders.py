"""The builders that are compared. Each builds a directory with a Dockerfile in a store of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Protocol

ROOT = Path(__file__).resolve().parent.parent


class Missing(Exception):
    """Why a builder cannot take part on this machine."""


class Builder(Protocol):
    name: str

    def build(self, context: Path, *, cached: bool = False) -> None:
        """Builds to the end; with `cached`, steps that were built before may be reused."""

    def close(self) -> None:
        """Removes the store."""


class Rbuild:
    name = "rbuild"

    def __init__(self, store: Path) -> None:
        self.store = store
        self.command = str(Path(sys.executable).with_name("rbuild"))

    def build(self, context: Path, *, cached: bool = False) -> None:
        self.run(*([] if cached else ["--no-cache"]), str(context))

    def plan(self, context: Path) -> None:
        run([self.command, "plan", str(context)], {"RBUILD_STORE": str(self.store)})

    def run(self, *arguments: str) -> None:
        run([self.command, "--quiet", *arguments], {"RBUILD_STORE": str(self.store)})

    def close(self) -> None:
        if subprocess.run(["rm", "-rf", self.store], stderr=DEVNULL, check=False).returncode:
            run([sys.executable, str(ROOT / "tools" / "remove"), str(self.store)])


class Buildah:
    name = "buildah"

    def __init__(self, store: Path, probe: Path) -> None:
        """Takes the fastest storage driver with which `probe` can be built."""
        if shutil.which("buildah") is None:
            raise Missing("not installed")
        self.isolation = "chroot" if os.geteuid() == 0 else "rootless"
        reasons = []
        for driver in ("overlay", "vfs"):
            self.options = [f"--root={store}/root", f"--runroot={store}/run", f"--storage-driver={driver}"]
            try:
                self.build(probe)
            except Missing as failure:
                reasons.append(f"{driver}: {failure}")
                self.close()
            else:
                self.name = f"buildah ({driver}, {self.isolation})"
                return
        raise Missing("; ".join(reasons))

    def build(self, context: Path, *, cached: bool = False) -> None:
        cache = [] if cached else ["--no-cache"]
        isolation = f"--isolation={self.isolation}"
        run(["buildah", *self.options, "bud", "-q", "--layers", isolation, *cache, str(context)])

    def close(self) -> None:
        """Its files may be a sub-id's: it removes its images itself."""
        subprocess.run(
            ["buildah", *self.options, "rmi", "--all", "--force"], stdout=DEVNULL, stderr=DEVNULL, check=False
        )


@contextmanager
def workplace() -> Iterator[Path]:
    """In the checkout: /tmp may be a file system in memory, where nothing costs what it costs elsewhere."""
    (ROOT / ".cache").mkdir(exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT / ".cache"))
    try:
        yield path
    finally:
        Rbuild(path).close()


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, env={**os.environ, **(environment or {})}, stdout=PIPE, stderr=STDOUT, text=True, check=False
    )
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        raise Missing(f"{Path(command[0]).name} exited with {done.returncode}: {last}")
