"""What a step finds mounted, as an ordered list of values. Nothing here touches the kernel.

    /                overlay of the image's layers           /dev            tmpfs with six devices
    /proc            of the step's own pid namespace         /dev/pts shm mqueue   of its own
    /sys             read-only                               /etc/hosts resolv.conf   private copies

The order matters: each target is resolved inside what the steps before it have made.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from builder._native import Step

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
MS_REC, MS_PRIVATE, MS_STRICTATIME = 0x4000, 0x40000, 0x1000000
AT_REMOVEDIR = 0x200
_SEALED = MS_NOSUID | MS_NODEV | MS_NOEXEC

# `userxattr` turns redirect_dir and metacopy off itself, and refuses to hear about redirect_dir.
# `volatile`: an upper directory is only used after its step has ended well, so nothing is won by syncing the
# whole file system at every unmount, and fsync in package installers costs nothing.
OVERLAY_OPTIONS = "userxattr,index=off,xino=off,volatile"

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
# What of /proc and /sys speaks of the host: the lists of Docker.
MASKED_FILES = (
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/timer_stats",
)
MASKED_DIRECTORIES = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/scsi",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

SHM_SIZE = 64 << 20  # bytes, as Docker has it

# Where heredocs that start with #! are executed, as the reference implementation has it.
SCRIPTS = "/dev/pipes"

# (path, is_dir) of what must exist in the root before anything can be mounted on it.
MOUNT_POINTS = (
    ("/proc", True),
    ("/sys", True),
    ("/dev", True),
    ("/etc/hosts", False),
    ("/etc/resolv.conf", False),
)


def reopen(path: str, fd: int) -> Step:
    """A directory of the host, opened in the child's mount namespace under the reserved number `fd`."""
    return ("reopen", "open layer", os.fsencode(path), os.fsencode(path), b"", b"", fd, False)


def overlay(lowers: Sequence[int], upper: int, work: int, mount_point: str) -> Step:
    """The root. Layers are descriptors, topmost first, and are named by number relative to /proc/self/fd."""
    layers = ":".join(map(str, lowers))
    options = f"lowerdir={layers},upperdir={upper},workdir={work},{OVERLAY_OPTIONS}"
    target = os.fsencode(mount_point)
    return ("root", "mount overlay", target, b"overlay", b"overlay", options.encode(), 0, False)


def mount(kind: str, target: str, flags: int = _SEALED, options: str = "", *, optional: bool = False) -> Step:
    fstype, on = kind.encode(), os.fsencode(target)
    return ("mount", f"mount {kind}", on, fstype, fstype, options.encode(), flags, optional)


def bind(source: str, target: str, flags: int = 0, *, optional: bool = False) -> Step:
    what = f"bind {source}"
    return ("bind", what, os.fsencode(target), os.fsencode(source), b"", b"", flags, optional)


def alias(source: str, target: str, *, optional: bool = False) -> Step:
    return ("alias", "bind", os.fsencode(target), os.fsencode(source), b"", b"", 0, optional)


def read_only(target: str, flags: int = 0, *, optional: bool = False) -> Step:
    return ("readonly", "remount read-only", os.fsencode(target), b"", b"", b"", flags, optional)


def directory(target: str, mode: int = 0o755) -> Step:
    return ("mkdir", "mkdir", os.fsencode(target), b"", b"", b"", mode, False)


def file(target: str, content: bytes = b"", mode: int = 0o644) -> Step:
    return ("file", "create", os.fsencode(target), b"", b"", content, mode, False)


def symlink(target: str, text: str) -> Step:
    return ("symlink", "symlink", os.fsencode(target), os.fsencode(text), b"", b"", 0, False)


def unlink(target: str, *, is_dir: bool = False) -> Step:
    return ("unlink", "unlink", os.fsencode(target), b"", b"", b"", AT_REMOVEDIR if is_dir else 0, False)


def furnish(
    *,
    own_network: bool,
    many_ids: bool,
    hosts: bytes,
    resolv_conf: bytes,
    scripts: Sequence[tuple[str, bytes]] = (),
    shm_size: int = 0,
    masked: bool = True,
) -> tuple[Step, ...]:
    """Everything below the root, in order."""
    return (
        mount("proc", "/proc"),
        *_sys(own_network),
        *_dev(many_ids, shm_size or SHM_SIZE),
        *_scripts(scripts),
        *_private_copy("/etc/hosts", hosts),
        *_private_copy("/etc/resolv.conf", resolv_conf),
        *(_masks() if masked else ()),
    )


def _sys(own_network: bool) -> Iterable[Step]:
    """A fresh sysfs shows the network devices of its own namespace; the kernel gives it to nobody else."""
    if own_network:
        return (mount("sysfs", "/sys", _SEALED | MS_RDONLY),)
    return shared_sys()


def shared_sys() -> tuple[Step, ...]:
    """The host's /sys, read-only with everything mounted below."""
    return (bind("/sys", "/sys", MS_REC), read_only("/sys", MS_REC))


def _dev(many_ids: bool, shm_size: int) -> Iterable[Step]:
    yield mount("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k")
    for name in DEVICES:
        yield file(f"/dev/{name}", mode=0o666)
        yield bind(f"/dev/{name}", f"/dev/{name}")
        # The node is the host's, and real root in the step could change its mode. Writing stays possible.
        yield read_only(f"/dev/{name}")
    for name, text in DEVICE_LINKS:
        yield symlink(f"/dev/{name}", text)
    yield from _dev_directories(many_ids, shm_size)


def _dev_directories(many_ids: bool, shm_size: int) -> Iterable[Step]:
    for name in ("pts", "shm", "mqueue"):
        yield directory(f"/dev/{name}")
    # Group 5 is "tty" in every distribution; a map of one id does not have it.
    terminals = "newinstance,ptmxmode=0666,mode=0620" + (",gid=5" if many_ids else "")
    yield mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, terminals)
    yield mount("tmpfs", "/dev/shm", _SEALED, f"mode=1777,size={shm_size}")
    yield mount("mqueue", "/dev/mqueue", optional=True)


def _scripts(scripts: Sequence[tuple[str, bytes]]) -> Iterable[Step]:
    """A file system of their own, because the step must not change what its cache key says it executes."""
    if not scripts:
        return
    yield directory(SCRIPTS)
    yield mount("tmpfs", SCRIPTS, MS_NOSUID | MS_NODEV, "mode=755")
    for name, text in scripts:
        yield file(f"{SCRIPTS}/{name}", text, mode=0o755)
    yield read_only(SCRIPTS)


def _private_copy(target: str, content: bytes) -> Iterable[Step]:
    """A file the step may write to, as Docker allows, without touching the host's or leaving it in the layer.

    It lives in the tmpfs of /dev and loses its name there; the mount keeps it.
    """
    staged = "/dev/.rbuild"
    return (file(staged, content), alias(staged, target, optional=True), unlink(staged))


def _masks() -> Iterable[Step]:
    for path in READ_ONLY:
        yield alias(path, path, optional=True)
        yield read_only(path, optional=True)
    for path in MASKED_FILES:
        yield alias("/dev/null", path, optional=True)
    for path in MASKED_DIRECTORIES:
        yield mount("tmpfs", path, _SEALED | MS_RDONLY, optional=True)
