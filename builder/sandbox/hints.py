"""What to tell a user whose step failed because of the tier it ran in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.sandbox.tiers import Tier


def hint_for_failure(tier: Tier, exit_code: int, output_tail: Sequence[str]) -> str | None:
    """A hint when a failed step in tier single smells of ownership; None otherwise."""
    raise NotImplementedError
