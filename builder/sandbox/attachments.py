"""What a step finds mounted because it asked for it: values, and the steps that mount them.

    stack      a path inside an overlay of directories, read-only or with a throwaway upper directory
    tree       a path inside a directory of the host, read-only; links in it lead within that directory
    directory  a directory of the host               socket   a socket of the host
    tmpfs      an empty file system in memory        file     a file that exists in memory alone

Stacks, trees and files are made in /dev first, below names that are gone before the step begins. Then each is
bound on its target, in the order given: a target may lie inside what was mounted before it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from builder.errors import SandboxError
from builder.sandbox import mounts
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from builder._native import Step

NAME = "--mount"  # what an error calls these steps
_STAGED = "/dev/.rbuild-mount"
_SEALED = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
_FURNISHED = ("/proc", "/sys", "/dev")


class Attachment(NamedTuple):
    """`path` is inside the stack, or of the host. `lowers` are topmost first; `upper` "" makes a stack read-only.

    A tree has one directory in `lowers`, and `pinned` is a descriptor of it: no other may have come in its place.
    `size` of a tmpfs is in bytes, 0 for no limit. `mode`, `uid` and `gid` are those of a file.
    """

    kind: Literal["stack", "tree", "directory", "socket", "tmpfs", "file"]
    target: str
    is_dir: bool
    path: str = "/"
    lowers: tuple[str, ...] = ()
    pinned: int = -1
    upper: str = ""
    work: str = ""
    readonly: bool = False
    size: int = 0
    content: bytes = b""
    mode: int = 0
    uid: int = 0
    gid: int = 0


def steps(attachments: Sequence[Attachment], reserve: Callable[[str], int]) -> tuple[Step, ...]:
    """`reserve` gives a descriptor number for a directory of the host."""
    found: list[Step] = []
    for number, item in enumerate(attachments):
        found += _stage(item, f"{_STAGED}{number}", reserve)
    for number, item in enumerate(attachments):
        found += _attach(item, f"{_STAGED}{number}", reserve)
    for number, item in enumerate(attachments):
        found += _unstage(item, f"{_STAGED}{number}")
    return tuple((step[0], NAME, *step[2:]) for step in found)


def refused(error: OSError) -> SandboxError:
    reason = os.strerror(error.errno or 0)
    return SandboxError(f"cannot mount {os.fsdecode(error.filename)}: {reason}", hint=_hint(error))


def _hint(error: OSError) -> str | None:
    import errno

    if error.errno == errno.EROFS:
        return "its target is missing inside another mount that is read-only: make it there, or mount that with rw"
    if error.errno == errno.ENOTDIR:
        return "a directory can only be mounted on a directory, and a file on a file"
    return None


def mount_points(attachments: Sequence[Attachment]) -> Iterator[tuple[str, bool]]:
    """(path, is_dir) of what the root itself must have: targets inside another mount are made in that."""
    above = list(_FURNISHED)
    for item in attachments:
        if not any(item.target == path or item.target.startswith(f"{path}/") for path in above):
            yield item.target, item.is_dir
        above.append(item.target)


def _stage(item: Attachment, staged: str, reserve: Callable[[str], int]) -> Iterable[Step]:
    if item.kind == "stack":
        yield mounts.directory(staged)
        yield from _overlay(item, staged, reserve)
    elif item.kind == "tree":
        number = reserve(f"/proc/self/fd/{item.pinned}")
        yield mounts.directory(staged)
        yield mounts.reopen(item.lowers[0], number)
        # With what is mounted below: the kernel does not let a user namespace uncover it.
        yield mounts.bind(str(number), staged, mounts.MS_REC)
    elif item.kind == "file":
        yield mounts.directory(staged, 0o700)
        yield mounts.mount("tmpfs", staged, _SEALED, f"mode=700,size={_room(item)},nr_inodes=4")
        yield mounts.file(f"{staged}/file", item.content, item.mode)
        if item.uid or item.gid:
            yield ("chown", "chown", os.fsencode(f"{staged}/file"), b"", b"", b"", item.uid | item.gid << 32, False)


def _room(item: Attachment) -> int:
    """Bytes of the file system that one file lives in."""
    return len(item.content) + (1 << 20)


def _overlay(item: Attachment, staged: str, reserve: Callable[[str], int]) -> Iterator[Step]:
    directories = [*item.lowers, *([item.upper, item.work] if item.upper else [])]
    numbers = [reserve(path) for path in directories]
    yield from (mounts.reopen(path, fd) for path, fd in zip(directories, numbers, strict=True))
    options = "lowerdir=" + ":".join(map(str, numbers[: len(item.lowers)])) + ",userxattr,index=off,xino=off"
    if item.upper:
        options += f",upperdir={numbers[-2]},workdir={numbers[-1]},volatile"
    flags = 0 if item.upper else mounts.MS_RDONLY
    yield mounts.mount("overlay", staged, flags, options)


def _attach(item: Attachment, staged: str, reserve: Callable[[str], int]) -> Iterator[Step]:
    yield ("ensure", "ensure", os.fsencode(item.target), b"", b"", b"", int(item.is_dir), False)
    match item.kind:
        case "stack" | "tree":
            yield _pick(staged, item.path, item.target)
        case "file":
            yield _pick(staged, "file", item.target)
        case "tmpfs":
            yield mounts.mount("tmpfs", item.target, mounts.MS_NOSUID | mounts.MS_NODEV, f"mode=1777,size={item.size}")
        case "directory":
            number = reserve(item.path)
            yield mounts.reopen(item.path, number)
            # Relative to the descriptors of the process, where making the root has left it.
            yield mounts.bind(str(number), item.target)
        case "socket":
            yield mounts.bind(item.path, item.target)
    if item.readonly:
        yield mounts.read_only(item.target)


def _pick(staged: str, path: str, target: str) -> Step:
    return ("pick", "pick", os.fsencode(target), os.fsencode(path), os.fsencode(staged), b"", 0, False)


def _unstage(item: Attachment, staged: str) -> Iterator[Step]:
    if item.kind in ("stack", "tree", "file"):
        yield ("detach", "detach", os.fsencode(staged), b"", b"", b"", 0, False)
        yield mounts.unlink(staged, is_dir=True)
