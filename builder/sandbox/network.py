"""The network of a step: the host's, or a namespace with nothing but its own loopback."""

from __future__ import annotations

from builder.errors import SandboxError

CLONE_NEWNET = 0x40000000
LARGEST_FILE = 1 << 20


def flag(network: str) -> int:
    """The namespace that `network` asks for, as a clone flag."""
    match network:
        case "none":
            return CLONE_NEWNET
        case "host":
            return 0
    raise SandboxError(f"unknown network {network!r}", hint="known are host and none")


def read(path: str) -> bytes:
    """The hosts or resolv.conf for a step; empty where the host has none."""
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST_FILE)
    except FileNotFoundError:
        return b""
