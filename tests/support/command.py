"""Running rbuild as a user does: the installed command, in a store of its own."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


class Rbuild(NamedTuple):
    """The command, bound to one store. `clean` removes the store, sub-id files included.

    With `user`, which only root can ask for, an account runs it that must be able to write beside the store.
    """

    store: Path
    user: str = ""

    @property
    def command(self) -> str:
        return str(Path(sys.executable).with_name("rbuild"))

    @property
    def environment(self) -> dict[str, str]:
        home = {"HOME": str(self.store.parent)} if self.user else {}
        return {**os.environ, **home, "RBUILD_STORE": str(self.store)}

    @property
    def _account(self) -> dict[str, Any]:
        if not self.user:
            return {}
        account = pwd.getpwnam(self.user)
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

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
            **self._account,
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


@cache
def tier_works(tier: str = "") -> bool:
    """Whether RUN works here in `tier`, or in any. A new process is asked: the probe forks, and pytest has threads."""
    program = "import sys; from builder.sandbox.tiers import choose; choose(sys.argv[1] or None, True)"
    return subprocess.run([sys.executable, "-c", program, tier], capture_output=True, check=False).returncode == 0
