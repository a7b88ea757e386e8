"""What to tell a user whose step failed: because of the tier it ran in, or by what its exit code means."""

from __future__ import annotations

import re
import signal
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


def hint_for_exit(program: str, exit_code: int, output_tail: Sequence[str]) -> str | None:
    """What an exit code says that the output does not. `program` is argv[0] of the step."""
    if exit_code == 128 + signal.SIGKILL:
        return "exit code 137 is SIGKILL: mostly the kernel's, when memory is short"
    if exit_code != 127 or list(output_tail) != [f"{program}: No such file or directory"]:
        return None
    if program.endswith("sh"):
        return f'the image has no {program}: begin from an image with a shell, or write RUN ["program", "argument"]'
    return f"the image has no {program}, or lacks the interpreter or dynamic loader that it names"
