"""An unpacked archive as a build context: its files with the modes that the archive says, as far as a user may."""

from __future__ import annotations

import os
import stat

from builder.errors import BuildError
from builder.layers.tree import STAT_XATTR


def restore_modes(root: str) -> int:
    """Give the files the modes that the archive says; the time of the newest. Device nodes are refused."""
    newest = 0
    for directory, folders, files in os.walk(root, topdown=False):
        for path in (f"{directory}/{name}" for name in (*folders, *files)):
            found = os.lstat(path)
            newest = max(newest, int(found.st_mtime))
            if not stat.S_ISLNK(found.st_mode):
                _restore_one(path, found)
    return newest


def _restore_one(path: str, found: os.stat_result) -> None:
    try:
        mode = int(os.getxattr(path, STAT_XATTR).split(b" ")[0], 8)
    except OSError:
        return
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise BuildError(f"the build context holds a device node: {os.path.basename(path)}", hint="leave it out")
    os.removexattr(path, STAT_XATTR)
    os.utime(path, ns=(found.st_mtime_ns, found.st_mtime_ns))
    os.chmod(path, stat.S_IMODE(mode) | (0o500 if stat.S_ISDIR(mode) else 0o400))
