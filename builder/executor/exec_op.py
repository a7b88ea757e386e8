"""Executes RUN: one process in a sandbox over the layers below, its output line by line."""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING

from builder.errors import StepFailed
from builder.executor import accounts, mount_points, mount_stubs, trust, untrust
from builder.executor.copy_op import make_directory
from builder.executor.hosts import hosts_file
from builder.executor.program import hint_for_program
from builder.layers.tree import seal
from builder.sandbox import emulation, hints, process
from builder.sandbox.process import Command
from builder.snapshots import shared
from builder.snapshots.filetree import resolve

if TYPE_CHECKING:
    from builder.executor.copy_op import Target
    from builder.executor.local import LocalExecutor
    from builder.executor.mount_points import Mounted
    from builder.executor.perform import Work
    from builder.executor.settings import Settings
    from builder.executor.trust import Trusted
    from builder.graph.ops import ExecOp

TAIL = 50  # lines of output repeated with a failure


def run(op: ExecOp, work: Work, target: Target, executor: LocalExecutor) -> None:
    """Run `op` with the tree of `work` as the upper directory. Raises StepFailed when it does not exit with 0."""
    if op.platform:
        emulation.prepare(op.platform, executor.settings.room())
    _take_root_mode(target)
    _make_cwd(op, target)
    with ExitStack() as stack:
        mounted = mount_points.prepare(op, work, executor, stack)
        trusted = trust.prepare(executor.settings.authorities, work.room, target)
        hidden = mount_stubs.uncover(mounted.attachments, work, target)
        _run(_command(op, work, target, executor.settings, mounted, trusted), op, work, target, executor.settings)
        mount_stubs.cover(hidden, target)
        mounted.verify()
        for place in mount_points.written(mounted):
            target.trap("WriteToBindMount", f"what was written to the bind mount {place} is thrown away")
    if target.owners == "recorded":
        seal(target.tree)
    mounts = [mount.target for mount in op.mounts]
    untrust.clean(executor.settings.authorities, work.inputs[0], mounts, target)


def _run(command: Command, op: ExecOp, work: Work, target: Target, settings: Settings) -> None:
    tail: deque[str] = deque(maxlen=TAIL)
    os.makedirs(settings.logs, exist_ok=True)
    with open(f"{settings.logs}/{work.key[:12]}.log", "wb") as log:

        def on_output(stream: int, line: bytes) -> None:
            log.write(line + b"\n")
            tail.append(line.decode("utf-8", "replace"))
            settings.output(work.key, stream, line)

        status = process.run(command, on_output, work.cancelled)
    if status:
        hint = hint_for_program(_candidates(command), status, tail, target.base)
        raise _failure(op, work, status, tuple(tail), settings, hint)


def _command(op: ExecOp, work: Work, target: Target, settings: Settings, mounted: Mounted, trusted: Trusted) -> Command:
    user = accounts.identity(op.user, target.base)
    env = {**dict(trusted.env), **dict(settings.proxies), **dict(mounted.env), **dict(op.env)}
    env["HOME"] = env.get("HOME") or user.home
    hosts = hosts_file(op.hostname, op.hosts)
    env |= {name: value for name, value in mounted.env if name != "SSH_AUTH_SOCK"}
    return Command(
        argv=op.argv,
        env=tuple(f"{name}={value}" for name, value in env.items()),
        cwd=op.cwd,
        uid=user.uid,
        gid=user.gid,
        groups=user.groups,
        network=op.network,
        hostname=op.hostname,
        lowers=(*trusted.lowers, *shared.lowers(work.inputs[0].trees, target.owners)),
        upper=f"{work.tree}/diff",
        work=_made(f"{work.room}/work"),
        hosts=_written(f"{settings.room()}/hosts.{_short(hosts)}", hosts),
        resolv_conf=_written(f"{settings.room()}/resolv.conf.{op.network}", _resolv_conf(op.network)),
        stubs=_made(f"{settings.room()}/stubs"),
        scratch=_made(f"{settings.room()}/root"),
        scripts=tuple((name, os.fsencode(text)) for name, text in op.scripts),
        shm_size=op.shm_size,
        ulimits=op.ulimits,
        insecure=op.security == "insecure",
        attachments=(*trusted.attachments, *mounted.attachments),
        hidden=settings.secrets.hidden(),
    )


def _failure(
    op: ExecOp, work: Work, status: int, tail: tuple[str, ...], settings: Settings, hint: str | None
) -> StepFailed:
    return StepFailed(
        f"{settings.secrets.mask_text(' '.join(op.argv))!r} did not complete successfully: exit code {status}",
        step=settings.secrets.mask_text(work.note.step),
        stage=work.note.stage,
        exit_code=status,
        tail=tail,
        span=work.note.span,
        hint=hint
        or hints.hint_for_failure(settings.tier(), status, tail)
        or hints.hint_for_exit(op.argv[0], status, tail),
    )


def _candidates(command: Command) -> list[str]:
    return [os.path.join(command.cwd, os.fsdecode(path)) for path in process.programs(command)]


def _make_cwd(op: ExecOp, target: Target) -> None:
    """A config may name a working directory that the root lacks: it is made for the user of the step."""
    entry = target.base.entry(resolve(target.base, op.cwd))
    if entry is None:
        user = accounts.identity(op.user, target.base)
        make_directory(op.cwd, (user.uid, user.gid), target)


def _short(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()[:12]


def _take_root_mode(target: Target) -> None:
    """The upper directory shows as / itself, so it takes the mode that / has below."""
    root = target.base.entry("")
    assert root is not None
    os.chmod(f"{target.tree}/diff", root.mode & 0o7777 | 0o700)


def _made(path: str) -> str:
    os.makedirs(path, mode=0o755, exist_ok=True)
    return path


def _written(path: str, content: bytes) -> str:
    """A file that all steps of a build share: its name appears with its content, whoever comes first."""
    if not os.path.exists(path):
        staged = f"{path}.{threading.get_ident()}"
        with open(staged, "wb") as file:
            file.write(content)
        os.rename(staged, path)
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
