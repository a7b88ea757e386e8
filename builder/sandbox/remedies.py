"""Says what a host refused and what to change about it: errno and step in, a SandboxError with a hint out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.errors import SandboxError, remedy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.sandbox.tiers import Tier

_SWITCHES = (
    # (file, value that refuses, what to do)
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,`",
    ),
)
_CONTAINER = (
    "in a container, its seccomp and AppArmor profile must allow unshare and mount "
    "(for instance --security-opt seccomp=unconfined --security-opt apparmor=unconfined)"
)
_BY_STEP = {
    "mount proc": "the host's /proc is partly masked or read-only, so the kernel gives no fresh one: "
    "in a container, --security-opt systempaths=unconfined",
    "mount overlay": "overlay in a user namespace needs Linux 5.11, and a store on a file system with "
    "user xattrs that is not itself an overlay: set RBUILD_STORE to one (ext4, xfs, btrfs, tmpfs from 6.6)",
    "write id maps": "check /etc/subuid and /etc/subgid, and that newuidmap is set-uid or has its file "
    "capability; a container with no_new_privs or dropped SETUID/SETGID cancels both",
}


def explain(error: OSError, tier: Tier) -> SandboxError:
    """The error for the user. The strerror of `error` starts with the step that was refused."""
    path = os.fsdecode(error.filename) if error.filename else ""
    step = (error.strerror or "").split(":")[0]
    name = _errno_name(error.errno)
    where = f" ({path})" if path else ""
    return SandboxError(f"tier {tier}: {error.strerror}{where} [{name}]", hint=_of_machine(step, error) or hint(step))


def _of_machine(step: str, error: OSError) -> str | None:
    """ENOSPC of unshare(2) is no full disk: the limit of namespaces is reached."""
    return None if step == "unshare" else remedy(error)


def hint(step: str) -> str:
    """What to change so that `step` is allowed. What the host says about itself comes before guesses."""
    if step in _BY_STEP:
        return _BY_STEP[step]
    refusing = list(_refusing_switches()) if step in ("unshare", "write", "mount") else []
    return "; ".join(refusing) or _CONTAINER


def _refusing_switches() -> Iterable[str]:
    for path, value, change in _SWITCHES:
        try:
            with open(path) as file:
                if file.read().strip() == value:
                    yield f"{path} is {value}: as root, {change}"
        except OSError:
            continue


def _errno_name(number: int | None) -> str:
    import errno

    return errno.errorcode.get(number or 0, str(number))
