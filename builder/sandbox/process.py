"""Runs one command over an overlay of layer directories and streams its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Flag(Protocol):
    """What `run` asks of a cancellation flag; threading.Event is one."""

    def is_set(self) -> bool: ...


class Command(NamedTuple):
    argv: tuple[str, ...]
    env: tuple[str, ...]  # "K=V", complete: nothing is added
    cwd: str
    uid: int
    gid: int
    groups: tuple[int, ...]  # supplementary; the primary gid is always added
    network: str  # "host" | "none"
    hostname: str
    lowers: tuple[str, ...]  # diff directories, topmost first; may be empty (FROM scratch)
    upper: str
    work: str  # empty, in the file system of upper
    hosts: str  # path of a file; the step gets a private, writable copy at /etc/hosts
    resolv_conf: str  # likewise at /etc/resolv.conf
    stubs: str  # a directory of ours in which `run` keeps stub layers; may be shared by all runs
    scratch: str  # an empty directory of ours, usable as a mount point; nothing is ever written in it


def run(command: Command, on_output: Callable[[int, bytes], None], cancelled: Flag) -> int:
    """Run to the end; the exit code, 128+n for signal n, 126/127 when argv[0] cannot be executed.

    `on_output(stream, line)` gets whole lines without newline from stream 1 and 2, in order per
    stream, on the calling thread; a line longer than 64 KiB arrives in pieces. Thread safe. Returns
    when pid 1 of the sandbox ends: what it left in the background is dead by then. On cancellation
    everything is killed and reaped within a second and Cancelled is raised. SandboxError when the
    sandbox cannot be made. Needs userns.enter() first.
    """
    raise NotImplementedError
