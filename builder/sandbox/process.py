"""Runs one command over an overlay of layer directories and streams its output."""

from __future__ import annotations

import errno
import os
import select
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

from builder import _native
from builder.errors import Cancelled, SandboxError
from builder.sandbox import attachments, capabilities, hints, mounts, network, stubs, ulimits, userns
from builder.sandbox.idmaps import IDS
from builder.sandbox.output import Lines
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder._native import Step
    from builder.events import Flag
    from builder.sandbox.attachments import Attachment

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID = 0x00020000, 0x04000000, 0x08000000, 0x20000000
NAMESPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UMASK = 0o022
TICK = 0.1  # seconds between two looks at the cancellation flag
PIECE = 256 * 1024


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
    shm_size: int = 0  # bytes of /dev/shm; 0 is the default
    ulimits: tuple[tuple[str, int, int], ...] = ()  # name, soft and hard limit
    insecure: bool = False  # all capabilities of the namespace, nothing masked, privileges may be gained
    scripts: tuple[tuple[str, bytes], ...] = ()  # name and text of executables that the step finds in /dev/pipes
    attachments: tuple[Attachment, ...] = ()  # what it finds mounted beside, in the order of mounting
    hidden: tuple[bytes, ...] = ()  # what lines of output are not to show


class Child(NamedTuple):
    pid: int
    pidfd: int
    out: int
    err: int


def run(command: Command, on_output: Callable[[int, bytes], None], cancelled: Flag) -> int:
    """Run to the end; the exit code, 128+n for signal n, 126/127 when argv[0] cannot be executed.

    `on_output(stream, line)` gets whole lines without newline from stream 1 and 2, in order per
    stream, on the calling thread; a line longer than 64 KiB arrives in pieces. Thread safe. Returns
    when pid 1 of the sandbox ends: what it left in the background is dead by then. On cancellation
    everything is killed and reaped within a second and Cancelled is raised. SandboxError when the
    sandbox cannot be made. Needs userns.enter() first.
    """
    _refuse_foreign_ids(command)
    if cancelled.is_set():
        raise Cancelled("cancelled")
    try:
        child = start(command)
    except OSError as error:
        if _step_of(error) != "exec":
            raise _explain(error) from error
        on_output(2, f"{command.argv[0]}: {os.strerror(error.errno or 0)}".encode("utf-8", "surrogateescape"))
        return 127 if error.errno in (errno.ENOENT, errno.ENOTDIR) else 126
    return _attend(child, command, on_output, cancelled)


def _step_of(error: OSError) -> str:
    return (error.strerror or "").split(":")[0]


def _explain(error: OSError) -> SandboxError:
    from builder.sandbox.remedies import explain

    if _step_of(error) == "cwd":
        path = os.fsdecode(error.filename)
        return SandboxError(f"working directory {path}: {os.strerror(error.errno or 0)}")
    if _step_of(error) == attachments.NAME:
        return attachments.refused(error)
    return explain(error, userns.entered())


def _refuse_foreign_ids(command: Command) -> None:
    tier = userns.entered()
    if tier == "none":
        raise SandboxError("a RUN needs a sandbox, and this build has none (tier none)")
    ids = {command.uid, command.gid, *command.groups}
    if tier == "single" and ids != {0}:
        who = f"{command.uid}:{command.gid}"
        raise SandboxError(f"cannot run as user {who} in tier single, which has one user id", hint=hints.SEVERAL_IDS)
    if max(ids) >= IDS:
        raise SandboxError(f"cannot run with id {max(ids)}: the sandbox has the ids 0 to {IDS - 1}")


# ---- starting -------------------------------------------------------------------------------------------


def start(command: Command) -> Child:
    """Spawn it. OSError of native.spawn when a step is refused."""
    with ExitStack() as stack:
        root = _root(command, stack)
        attached = attachments.steps(command.attachments, lambda path: _reserve(stack, path))
        stack.callback(_open_work, command.work)
        try:
            return _spawn(command, (*root, *_furniture(command), *attached))
        except OSError as error:
            if _step_of(error) != "mount sysfs":
                raise
            # Where the host's own /sys is partly covered the kernel gives no fresh one.
            _forget_mount(command.work)
            return _spawn(command, (*root, *_furniture(command, fresh_sys=False), *attached))


def _open_work(work: str) -> None:
    """Overlay makes its own directories with mode 0, which keeps `rm -rf` by their owner out."""
    for name in ("work", "work/incompat", "work/incompat/volatile"):
        try:
            os.chmod(f"{work}/{name}", 0o700)
        except OSError:
            return


def _forget_mount(work: str) -> None:
    """Let the work directory be used again: a volatile overlay marks it, as upper may be torn."""
    _open_work(work)
    os.unlink(f"{work}/work/incompat/volatile/dirty")
    os.rmdir(f"{work}/work/incompat/volatile")


def _root(command: Command, stack: ExitStack) -> tuple[Step, ...]:
    directories = (command.upper, command.work, *_with_stubs(command))
    upper, work, *lowers = (_reserve(stack, path) for path in directories)
    opened = (mounts.reopen(path, fd) for path, fd in zip(directories, (upper, work, *lowers), strict=True))
    return (*opened, mounts.overlay(lowers, upper, work, command.scratch))


def _reserve(stack: ExitStack, path: str) -> int:
    """A descriptor number for `path`, ours until the stack closes."""
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def _with_stubs(command: Command) -> tuple[str, ...]:
    points = (*mounts.MOUNT_POINTS, *attachments.mount_points(command.attachments))
    missing = stubs.missing((command.upper, *command.lowers), points)
    if missing or not command.lowers:
        return (*command.lowers, stubs.layer(command.stubs, missing))
    return command.lowers


def _furniture(command: Command, *, fresh_sys: bool = True) -> tuple[Step, ...]:
    return mounts.furnish(
        own_network=command.network == "none" and fresh_sys,
        many_ids=userns.entered() == "userns",
        scripts=command.scripts,
        shm_size=command.shm_size,
        masked=not command.insecure,
        hosts=network.read(command.hosts),
        resolv_conf=network.read(command.resolv_conf),
    )


def _spawn(command: Command, steps: tuple[Step, ...]) -> Child:
    many_ids = userns.entered() == "userns"
    return Child(
        *_native.spawn(
            steps=steps,
            argv=tuple(map(os.fsencode, command.argv)),
            programs=programs(command),
            env=tuple(map(os.fsencode, command.env)),
            cwd=os.fsencode(command.cwd),
            hostname=os.fsencode(command.hostname),
            namespaces=NAMESPACES | network.flag(command.network),
            uid=command.uid,
            gid=command.gid,
            groups=_groups(command) if many_ids else None,
            bounding=capabilities.bounding(command.insecure),
            effective=capabilities.effective(command.uid, command.insecure),
            no_new_privs=not command.insecure,
            umask=UMASK,
            limits=ulimits.limits(command.ulimits),
        )
    )


def _groups(command: Command) -> tuple[int, ...]:
    """With the primary one: a file may deny a group what it grants to others (CVE-2022-2990)."""
    return tuple(dict.fromkeys((command.gid, *command.groups)))


def programs(command: Command) -> tuple[bytes, ...]:
    """Where argv[0] may be, by the PATH that the step itself will have."""
    name = command.argv[0]
    if "/" in name:
        return (os.fsencode(name),)
    paths = [pair[5:] for pair in command.env if pair.startswith("PATH=")]
    directories = (paths[-1] if paths else DEFAULT_PATH).split(":")
    return tuple(os.fsencode(f"{directory or '.'}/{name}") for directory in directories)


# ---- attending ------------------------------------------------------------------------------------------


def _attend(child: Child, command: Command, on_output: Callable[[int, bytes], None], cancelled: Flag) -> int:
    try:
        _stream(child, _sinks(child, command, on_output), cancelled)
        return _reap(child)
    except BaseException:
        _kill(child)
        _reap(child)
        raise
    finally:
        for fd in child[1:]:
            os.close(fd)


def _sinks(child: Child, command: Command, on_output: Callable[[int, bytes], None]) -> dict[int, Lines]:
    return {
        child.out: Lines(lambda line: on_output(1, line), command.hidden),
        child.err: Lines(lambda line: on_output(2, line), command.hidden),
    }


def _stream(child: Child, sinks: dict[int, Lines], cancelled: Flag) -> None:
    """Until pid 1 is dead. Its namespace died with it, so what is in the pipes then is all there will be."""
    poll = select.poll()
    for fd in child[1:]:
        os.set_blocking(fd, False)
        poll.register(fd, select.POLLIN)
    alive = True
    while alive:
        ready = [fd for fd, _ in poll.poll(TICK * 1000)]
        if cancelled.is_set():
            raise Cancelled("cancelled")
        alive = child.pidfd not in ready
        for fd in sinks if not alive else ready:
            _drain(fd, sinks[fd], poll, once=alive)
    for lines in sinks.values():
        lines.finish()


def _drain(fd: int, lines: Lines, poll: select.poll, *, once: bool) -> None:
    while True:
        try:
            piece = os.read(fd, PIECE)
        except BlockingIOError:
            return
        if not piece:
            _forget(poll, fd)
            return
        lines.feed(piece)
        if once:
            return


def _forget(poll: select.poll, fd: int) -> None:
    try:
        poll.unregister(fd)
    except KeyError:
        pass


def _kill(child: Child) -> None:
    try:
        signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _reap(child: Child) -> int:
    _, status = os.waitpid(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
