"""What to tell a user whose step failed because of the tier it ran in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.sandbox.idmaps import HELPER_HINT, SUBID_HINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.sandbox.tiers import Tier

# What apt, dpkg, rpm, apk, tar, install and useradd say where the kernel refuses ids that are not mapped.
_OWNERSHIP = re.compile(
    r"\b(chown|lchown|fchown|chgrp|setgroups|initgroups|set[er]*[ug]id|setres[ug]id|mknod|cpio|adduser|useradd)\b"
    r"|cannot change (owner|group)|Cannot change ownership"
    r"|(Operation not permitted|Invalid argument)",
    re.IGNORECASE,
)

SEVERAL_IDS = f"give this user a range of ids ({SUBID_HINT}; {HELPER_HINT})"


def hint_for_failure(tier: Tier, exit_code: int, output_tail: Sequence[str]) -> str | None:
    """A hint when a failed step in tier single smells of ownership; None otherwise."""
    if tier != "single" or exit_code == 0 or not any(map(_OWNERSHIP.search, output_tail)):
        return None
    return f"this step seems to need several user ids, and the sandbox has only one: {SEVERAL_IDS}"
