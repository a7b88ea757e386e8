"""Running rbuild as a user does: the installed command, in a store of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from builder.errors import BuildError


class Rbuild(NamedTuple):
    """The command, bound to one store. `clean` removes the store, sub-id files included."""

    store: Path

    @property
    def command(self) -> str:
        return str(Path(sys.executable).with_name("rbuild"))

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "RBUILD_STORE": str(self.store)}

    def __call__(
        self, *arguments: str | Path, status: int = 0, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs to the end and checks the exit status; the output of an unexpected one is in the failure."""
        run = subprocess.run(
            [self.command, *map(str, arguments)],
            env=self.environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == status, run.stdout + run.stderr
        return run

    def start(self, *arguments: str | Path, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Starts it in a process group of its own, so that a test can kill all of it."""
        return subprocess.Popen(
            [self.command, *map(str, arguments)],
            env=self.environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def clean(self) -> None:
        if subprocess.run(["rm", "-rf", self.store], stderr=subprocess.DEVNULL, check=False).returncode:
            subprocess.run([sys.executable, _REMOVE, self.store], check=True)


_REMOVE = Path(__file__).resolve().parents[2] / "tools" / "remove"


def runs_here() -> bool:
    """Whether this host gives any tier in which RUN works."""
    from builder.sandbox.tiers import choose

    try:
        choose(None, True)
    except BuildError:
        return False
    return True
