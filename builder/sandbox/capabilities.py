"""Linux capabilities by name, and the set that a step may hold."""

from __future__ import annotations

NUMBERS = {
    "chown": 0,
    "dac_override": 1,
    "fowner": 3,
    "fsetid": 4,
    "kill": 5,
    "setgid": 6,
    "setuid": 7,
    "setpcap": 8,
    "net_bind_service": 10,
    "net_raw": 13,
    "sys_chroot": 18,
    "mknod": 27,
    "audit_write": 29,
    "setfcap": 31,
}

# Docker's default: what a build expects to have, and all that it can ever regain.
DEFAULT = sum(1 << number for number in NUMBERS.values())


def effective(uid: int) -> int:
    """What a step starts with: everything it may hold as root, nothing as anyone else."""
    return DEFAULT if uid == 0 else 0
