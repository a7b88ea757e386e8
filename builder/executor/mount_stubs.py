"""Mount points where the image deletes or hides what is below, so that the lowest layer cannot bring them.

They are made in the tree of the step before it runs, and taken away again after it. What the step itself
has changed stays: a directory goes only when it is empty and as it was made.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.layers import place as layers_place
from builder.sandbox import attachments, view
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.executor.copy_op import Target
    from builder.executor.perform import Work
    from builder.sandbox.attachments import Attachment


class Stub(NamedTuple):
    """A path of the tree, outer ones first, and what it looked like when it was made."""

    path: str
    seen: tuple[object, ...]


def uncover(mounts: Sequence[Attachment], work: Work, target: Target) -> list[Stub]:
    """Make the mount points that a layer of stubs could not."""
    stubs: list[Stub] = []
    layers = [f"{target.tree}/diff", *(f"{tree}/diff" for tree in work.inputs[0].trees)]
    for path, is_dir in attachments.mount_points(mounts):
        found = view.locate(layers, path)
        if not found.mode and not found.open:
            stubs += _make(found.path.strip("/"), is_dir, target)
    return stubs


def _make(path: str, is_dir: bool, target: Target) -> list[Stub]:
    parts = path.split("/")
    paths = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    new = [item for item in paths if not os.path.lexists(f"{target.tree}/diff/{item}")]
    rows = [_row(item, is_dir or item != path, target) for item in new]
    layers_place.place(rows, target.tree, owners=target.owners, source="tree")
    return [Stub(item, _look(os.lstat(f"{target.tree}/diff/{item}"))) for item in new]


def _row(path: str, is_dir: bool, target: Target) -> tuple[object, ...]:
    name = os.fsencode(path)
    entry = target.base.entry(path)
    if entry is not None:
        return ("copyup", name, 0, 0, 0, entry.mtime_ns, target.base.descriptor(entry.place), name, None)
    return ("dir", name, 0o755, 0, 0, 0, -1, b"", None) if is_dir else ("file", name, 0o644, 0, 0, 0, -1, b"", b"")


def _look(found: os.stat_result) -> tuple[object, ...]:
    return (found.st_mode, found.st_uid, found.st_gid)


def cover(stubs: Sequence[Stub], target: Target) -> None:
    """Take them away, inner ones first."""
    top = os.open(f"{target.tree}/diff", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for stub in reversed(stubs):
            with suppress(OSError):
                _remove(top, stub)
    finally:
        os.close(top)


def _remove(top: int, stub: Stub) -> None:
    """By descriptors, because a step may have put a link in the place of a directory on the way."""
    *parents, name = stub.path.split("/")
    here = os.dup(top)
    try:
        for part in parents:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = below
        _remove_from(here, name, stub)
    finally:
        os.close(here)


def _remove_from(parent: int, name: str, stub: Stub) -> None:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if _look(found) != stub.seen:
        return
    before = os.fstat(parent)
    if stat.S_ISDIR(found.st_mode):
        os.rmdir(name, dir_fd=parent)
    elif not found.st_size:
        os.unlink(name, dir_fd=parent)
    # What only our own coming and going has changed is as it was.
    os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
