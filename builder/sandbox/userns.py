"""Moves this process into its own user and mount namespace, once, before the first thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.sandbox.tiers import Tier


def enter(tier: Tier) -> None:
    """After this, the process is uid 0 in the map of `tier` and its mounts are its own. Idempotent.

    Must be called before any thread is started (the kernel refuses otherwise). Nothing for tier none.
    """
    raise NotImplementedError


def entered() -> Tier:
    """The tier that this process has entered; "none" before `enter`."""
    raise NotImplementedError
