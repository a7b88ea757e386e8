"""Looks a path up in layer directories as the overlay of them will show it, before it is mounted.

Never follows a link of the host's: each component is looked at with lstat in directories of ours, and the
text of a symlink is resolved against the merged view.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from builder.errors import SandboxError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LINKS = 40


class Place(NamedTuple):
    """Where a path leads. `mode` is 0 when nothing is there; `open`: a lower layer could still add it."""

    path: str
    mode: int
    open: bool


class _Found(NamedTuple):
    layers: tuple[str, ...]  # for a directory: those that merge into it
    mode: int
    path: str  # on disk, of the topmost
    open: bool


def locate(layers: Sequence[str], path: str) -> Place:
    """Resolve `path` in the merged view of `layers` (topmost first). SandboxError when it loops."""
    done: list[str] = []
    rest = _components(path)
    links = 0
    while rest:
        name = rest.pop(0)
        if name == "..":
            del done[-1:]
            continue
        found = _descend(layers, [*done, name])
        if stat.S_ISLNK(found.mode):
            links += 1
            if links > MAX_LINKS:
                raise SandboxError(f"too many levels of symbolic links: {path}")
            text = os.readlink(found.path)
            done = [] if text.startswith("/") else done
            rest = _components(text) + rest
            continue
        done.append(name)
        if not stat.S_ISDIR(found.mode):
            missing = found.mode == 0 and ".." not in rest
            return Place("/" + "/".join(done + rest), 0 if rest else found.mode, found.open and missing)
    return Place("/" + "/".join(done), stat.S_IFDIR, False)


def _components(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _descend(layers: Sequence[str], names: Sequence[str]) -> _Found:
    found = _Found(tuple(layers), stat.S_IFDIR, "", True)
    for name in names:
        found = _lookup(found, name)
    return found


def _lookup(parent: _Found, name: str) -> _Found:
    merged: list[str] = []
    for layer in parent.layers:
        path = f"{layer}/{name}"
        try:
            st = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISDIR(st.st_mode):
            whiteout = stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
            return _upper_part(merged) or _Found((), 0 if whiteout else st.st_mode, path, False)
        merged.append(path)
        if _is_opaque(path):
            return _Found(tuple(merged), stat.S_IFDIR, merged[0], False)
    return _upper_part(merged, parent.open) or _Found((), 0, "", parent.open)


def _upper_part(merged: list[str], is_open: bool = False) -> _Found | None:
    return _Found(tuple(merged), stat.S_IFDIR, merged[0], is_open) if merged else None


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, "user.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False
