"""What a RUN does to files, as data: drawn from a seed, printed, carried out in any directory, left out one by one.

What cannot be done where it falls (a missing file, a refused owner) is left, as a shell script would go on.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from typing import NamedTuple

LONG = b"long" * 50
NAMES = [b"a", b"b", b"c", b"d.e", b"d-f", b"d", b"\xff n\xc3", "ünï".encode(), LONG]
MODES = [0o755, 0o644, 0o600, 0o700, 0o400, 0o111, 0, 0o4711, 0o2755, 0o1777, 0o500]
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
OWNERS = [(0, 0), (1, 1), (1000, 1000), (65534, 65534), (33, 0)]


class Op(NamedTuple):
    """One change: `other` is a second path or a text, `number` a mode, a time or a choice."""

    kind: str
    path: bytes
    other: bytes = b""
    number: int = 0


def draw(dice: random.Random, count: int) -> list[Op]:
    return [_draw_one(dice) for _ in range(count)]


def _draw_one(dice: random.Random) -> Op:
    kind = dice.choice(list(_KINDS))
    return Op(kind, _draw_path(dice), _draw_path(dice), _draw_number(kind, dice))


def _draw_path(dice: random.Random) -> bytes:
    return b"/".join(dice.choice(NAMES) for _ in range(dice.choice([1, 1, 2, 2, 3])))


def _draw_number(kind: str, dice: random.Random) -> int:
    if kind in ("chmod", "fifo"):
        return dice.choice(MODES)
    return dice.randint(0, 10**9) if kind == "touch" else dice.randint(0, 5)


def perform(root: bytes, ops: list[Op]) -> None:
    for op in ops:
        path = _with_parents(root, op.path)
        if path is None:
            continue
        try:
            _KINDS[op.kind](root, path, op)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EINVAL, errno.ELOOP, errno.EXDEV):
                raise


def _with_parents(root: bytes, name: bytes) -> bytes | None:
    """The path under the root if its parents are directories or can be made so."""
    at = root
    for part in name.split(b"/")[:-1]:
        at = os.path.join(at, part)
        if not os.path.lexists(at):
            os.mkdir(at)
        elif not _is_directory(at):
            return None
    return os.path.join(root, name)


def _is_directory(path: bytes) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _is_file(path: bytes) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)


def clear(path: bytes) -> None:
    if _is_directory(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _content(op: Op) -> bytes:
    return (op.path + op.other) * op.number * 2


def _write(root: bytes, path: bytes, op: Op) -> None:
    """Truncates what is there, as `>` does; what is no file goes."""
    if not _is_file(path):
        clear(path)
    with open(path, "wb") as file:
        file.write(_content(op))


def _replace(root: bytes, path: bytes, op: Op) -> None:
    clear(path)
    _write(root, path, op)


def _append(root: bytes, path: bytes, op: Op) -> None:
    """Of no bytes at times: overlayfs copies up, nothing changes."""
    if _is_file(path):
        with open(path, "ab") as file:
            file.write(b"x" * (op.number // 2))


def _sparse(root: bytes, path: bytes, op: Op) -> None:
    clear(path)
    with open(path, "wb") as file:
        for position in range(op.number % 3):
            file.seek(position * 20_000 + 5_000)
            file.write(op.path)
        file.truncate(50_000)


def _mkdir(root: bytes, path: bytes, op: Op) -> None:
    if _is_directory(path):
        return
    clear(path)
    os.mkdir(path)


def _remake(root: bytes, path: bytes, op: Op) -> None:
    """rm -r and mkdir: what overlayfs calls opaque."""
    clear(path)
    os.mkdir(path)
    for number in range(op.number):
        with open(os.path.join(path, NAMES[number]), "wb") as file:
            file.write(b"remade")


def _symlink(root: bytes, path: bytes, op: Op) -> None:
    clear(path)
    os.symlink(op.other, path)


def _link(root: bytes, path: bytes, op: Op) -> None:
    target = _with_parents(root, op.other)
    if target is None or not os.path.lexists(path) or _is_directory(path) or path == target:
        return
    clear(target)
    if os.path.lexists(path):
        os.link(path, target, follow_symlinks=False)


def _rename(root: bytes, path: bytes, op: Op) -> None:
    """What mv does: overlayfs refuses to move a directory from below, so that it is copied."""
    target = _with_parents(root, op.other)
    if target is None or not os.path.lexists(path) or b"/".join([target, b""]).startswith(path + b"/"):
        return
    clear(target)
    if not os.path.lexists(path):
        return
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        subprocess.run(["cp", "-a", path, target], check=True)
        clear(path)


def _chmod(root: bytes, path: bytes, op: Op) -> None:
    if os.path.lexists(path) and not os.path.islink(path):
        os.chmod(path, op.number)


def _chown(root: bytes, path: bytes, op: Op) -> None:
    if os.path.lexists(path):
        os.chown(path, *OWNERS[op.number % len(OWNERS)], follow_symlinks=False)


def _touch(root: bytes, path: bytes, op: Op) -> None:
    if os.path.lexists(path):
        os.utime(path, (op.number, op.number), follow_symlinks=False)


def _xattr(root: bytes, path: bytes, op: Op) -> None:
    if _is_file(path) or _is_directory(path):
        os.setxattr(path, b"user.%d" % (op.number % 2), [b"", b"\xff\0=\n", op.path][op.number % 3])


def _unxattr(root: bytes, path: bytes, op: Op) -> None:
    if _is_file(path) or _is_directory(path):
        for name in os.listxattr(path):
            if name in ("user.0", "user.1"):
                os.removexattr(path, name)


def _setcap(root: bytes, path: bytes, op: Op) -> None:
    if _is_file(path):
        os.setxattr(path, "security.capability", CAPABILITY)


def _fifo(root: bytes, path: bytes, op: Op) -> None:
    clear(path)
    os.mkfifo(path)
    os.chmod(path, op.number)


def _remove(root: bytes, path: bytes, op: Op) -> None:
    clear(path)


_KINDS: dict[str, Callable[[bytes, bytes, Op], None]] = {
    "write": _write,
    "replace": _replace,
    "append": _append,
    "sparse": _sparse,
    "mkdir": _mkdir,
    "remove": _remove,
    "remake": _remake,
    "symlink": _symlink,
    "link": _link,
    "rename": _rename,
    "chmod": _chmod,
    "chown": _chown,
    "touch": _touch,
    "xattr": _xattr,
    "unxattr": _unxattr,
    "setcap": _setcap,
    "fifo": _fifo,
}


def show(ops: list[Op]) -> str:
    """One line an operation; names that are long or not text as Python writes them."""
    return "\n".join(
        f"    {op.kind} {os.fsdecode(op.path)!a} {os.fsdecode(op.other)!a} {op.number}".replace("long" * 50, "LONG")
        for op in ops
    )
