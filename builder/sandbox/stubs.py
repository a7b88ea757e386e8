"""Mount points that an image lacks, provided by the lowest overlay layer so that no trace reaches upper.

image has the path              it is mounted on
image has a symlink             resolved inside the image first; a dangling one gets its target as a stub
image lacks it                  a stub
image deleted it, or hides the  /proc /sys /dev: SandboxError (a lower layer cannot bring them back);
  directory that would hold it  /etc/hosts, /etc/resolv.conf: the step goes without
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from builder.errors import SandboxError
from builder.sandbox import view

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Stubs = tuple[tuple[str, bool], ...]


def missing(layers: Sequence[str], mount_points: Iterable[tuple[str, bool]]) -> Stubs:
    """The stubs (path, is_dir) that `layers` need so that every mount point (path, is_dir) exists."""
    stubs: list[tuple[str, bool]] = []
    for path, is_dir in mount_points:
        place = view.locate(layers, path)
        if place.open and not place.mode:
            stubs.append((place.path, is_dir))
        elif is_dir and not stat.S_ISDIR(place.mode):
            raise SandboxError(
                f"cannot mount {path}: the image {_reason(place.path, place.mode)}",
                hint=f"make {path} a directory in the image",
            )
    return tuple(stubs)


def _reason(path: str, mode: int) -> str:
    return f"has something else than a directory at {path}" if mode else f"deletes {path}"


def layer(directory: str, stubs: Stubs) -> str:
    """A directory below `directory` that holds exactly the stubs. Made once, then immutable: shared."""
    import hashlib

    name = hashlib.sha256(repr(sorted(stubs)).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = os.path.join(directory, name)
    if not os.path.isdir(path):
        _publish(path, stubs)
    return path


def _publish(path: str, stubs: Stubs) -> None:
    import tempfile

    os.makedirs(os.path.dirname(path), exist_ok=True)
    staged = tempfile.mkdtemp(prefix=".stubs-", dir=os.path.dirname(path))
    for stub, is_dir in stubs:
        _make(staged + stub, is_dir)
    _settle(staged)
    try:
        os.rename(staged, path)
    except OSError:  # another build was first
        _remove(staged)
        if not os.path.isdir(path):
            raise


def _make(path: str, is_dir: bool) -> None:
    os.makedirs(path if is_dir else os.path.dirname(path), exist_ok=True)
    if not is_dir:
        with open(path, "xb"):
            pass


def _settle(root: str) -> None:
    """A fixed mode and time, whatever the umask and the hour: a step that copies a stub up shows them."""
    for path, _, names in os.walk(root, topdown=False):
        for name in names:
            os.chmod(os.path.join(path, name), 0o644)
            os.utime(os.path.join(path, name), (0, 0))
        os.chmod(path, 0o755)
        os.utime(path, (0, 0))


def _remove(path: str) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)
