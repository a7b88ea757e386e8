"""The tiers of isolation: which one a build gets, and what a weaker one cannot do.

    userns   user namespace with ids 0..65535 (newuidmap, or real root)   owners are real on disk
    single   user namespace with the user's one id, seen as root          owners are recorded
    none     no sandbox: builds without RUN                               owners are recorded
"""

from __future__ import annotations

from typing import Literal

Tier = Literal["userns", "single", "none"]
Owners = Literal["real", "recorded"]


def owners_of(tier: Tier) -> Owners:
    """How trees made in this tier carry ownership."""
    return "real" if tier == "userns" else "recorded"


def choose(requested: str | None, needs_run: bool, store: str | None = None) -> Tier:
    """The strongest tier that this host gives and the build needs. Probes the kernel once a process.

    `requested` (--isolation) fixes the tier. `store` is the directory whose file system must carry the
    overlay. Raises SandboxError naming the first refused call, its errno and what to change; never
    falls back from a requested tier.
    """
    raise NotImplementedError


def notice() -> str | None:
    """After `choose`: why the tier is weaker than the host's set-up suggests, for a warning. None mostly."""
    raise NotImplementedError
