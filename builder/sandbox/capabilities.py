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


def bounding(insecure: bool) -> int:
    """What a step may hold: with --security=insecure all that its user namespace has."""
    return _last_known() if insecure else DEFAULT


def effective(uid: int, insecure: bool = False) -> int:
    """What a step starts with: everything it may hold as root, nothing as anyone else."""
    return bounding(insecure) if uid == 0 else 0


def _last_known() -> int:
    """Every capability of this kernel: capset refuses the set when it names another."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        return int(2 ** (int(file.read()) + 1) - 1)
