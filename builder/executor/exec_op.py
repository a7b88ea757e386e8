"""Executes RUN: one process in a sandbox over the layers below, its output line by line."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from builder.errors import StepFailed
from builder.executor import accounts
from builder.layers.tree import seal
from builder.sandbox import hints, process
from builder.sandbox.process import Command

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.executor.copy_op import Target
    from builder.graph.graph import Note
    from builder.graph.ops import ExecOp
    from builder.sandbox.tiers import Tier
    from builder.snapshots.snapshot import Snapshot

TAIL = 50  # lines of output repeated with a failure

HOSTS = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


class Flag(Protocol):
    def is_set(self) -> bool: ...


class Exec(NamedTuple):
    """How RUNs are executed. `output(key, stream, line)` is told every line; `logs` is where they are kept.

    `proxies` reach the process but no key: they say how to fetch, not what.
    """

    tier: Callable[[], Tier]
    output: Callable[[str, int, bytes], None]
    logs: str
    proxies: tuple[tuple[str, str], ...]

    def run(self, op: ExecOp, key: str, note: Note, root: Snapshot, target: Target, cancelled: Flag) -> None:
        """Run `op` with `target.tree` as the upper directory. Raises StepFailed when it does not exit with 0."""
        _take_root_mode(target)
        command = self._command(op, root, target)
        tail: deque[str] = deque(maxlen=TAIL)
        os.makedirs(self.logs, exist_ok=True)
        with open(f"{self.logs}/{key[:12]}.log", "wb") as log:

            def on_output(stream: int, line: bytes) -> None:
                log.write(line + b"\n")
                tail.append(line.decode("utf-8", "replace"))
                self.output(key, stream, line)

            status = process.run(command, on_output, cancelled)
        if target.owners == "recorded":
            seal(target.tree)
        if status:
            raise self._failure(op, note, status, tuple(tail))

    def _command(self, op: ExecOp, root: Snapshot, target: Target) -> Command:
        user = accounts.identity(op.user, target.base)
        env = {"HOME": user.home, **dict(self.proxies), **dict(op.env)}
        return Command(
            argv=op.argv,
            env=tuple(f"{name}={value}" for name, value in env.items()),
            cwd=op.cwd,
            uid=user.uid,
            gid=user.gid,
            groups=user.groups,
            network=op.network,
            hostname=op.hostname,
            lowers=tuple(f"{tree}/diff" for tree in root.trees),
            upper=f"{target.tree}/diff",
            work=_made(f"{target.scratch}/work"),
            hosts=_written(f"{target.scratch}/hosts", HOSTS.encode()),
            resolv_conf=_written(f"{target.scratch}/resolv.conf", _resolv_conf(op.network)),
            stubs=_made(f"{target.scratch}/stubs"),
            scratch=_made(f"{target.scratch}/root"),
        )

    def _failure(self, op: ExecOp, note: Note, status: int, tail: tuple[str, ...]) -> StepFailed:
        shown = " ".join(op.argv)
        return StepFailed(
            f"{shown!r} did not complete successfully: exit code {status}",
            step=note.step,
            stage=note.stage,
            exit_code=status,
            tail=tail,
            span=note.span,
            hint=hints.hint_for_failure(self.tier(), status, tail),
        )


def _take_root_mode(target: Target) -> None:
    """The upper directory shows as / itself, so it takes the mode that / has below."""
    root = target.base.entry("")
    assert root is not None
    os.chmod(f"{target.tree}/diff", root.mode & 0o7777 | 0o700)


def _made(path: str) -> str:
    os.makedirs(path, mode=0o755, exist_ok=True)
    return path


def _written(path: str, content: bytes) -> str:
    with open(path, "wb") as file:
        file.write(content)
    return path


def _resolv_conf(network: str) -> bytes:
    """The host's resolver where the step is on the host's network."""
    if network == "none":
        return b""
    try:
        with open("/etc/resolv.conf", "rb") as file:
            return file.read()
    except OSError:
        return b""
