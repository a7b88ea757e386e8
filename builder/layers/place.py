"""Put files, directories and nodes into a tree: the one primitive under COPY, ADD and WORKDIR.

    entries ─► native.place ─► T/diff, T/journal

Destination paths are resolved already: a symlink in the middle of one is an error, never followed, and
so it is in source paths. The parents of an entry must be in this tree's diff; where they come from a
lower tree, send a `copyup` of each before it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from builder import _native
from builder.layers.tree import Owners, open_tree
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["dir", "file", "symlink", "hardlink", "fifo", "device", "copyup", "whiteout", "subtree"]
Source = Literal["context", "tree"]


class Entry(NamedTuple):
    """One thing to make. Plain tuples of the same shape do as well.

    kind      what         src_fd, src                   extra
    dir       directory    optional: xattrs and -1s      None
    file      regular      where the bytes are           bytes = inline content instead of a source
    symlink   symlink      optional: -1s                 bytes = target; None: the source's
    hardlink  link         -                             bytes = existing path in this tree's diff
    fifo      FIFO         optional: -1s                 None
    device    node         optional: -1s                 int = mode's device number, as os.makedev
    copyup    directory    the directory it is like      None; mode, uid, gid, mtime_ns are not read
    whiteout  whiteout     -                             None: hides the name of the lower trees
    subtree   all below    -                             None; src: a directory of the merged view of `trees`;
                                                         path: one without anything in it; mtime_ns is not read

    `mode` has the permission bits; for `device` also S_IFCHR or S_IFBLK. -1 for mode, uid or gid means "as
    the source has it" (effective metadata of a tree; plain stat of a context). `mtime_ns` None means "as
    the source has it", and now where there is no source.
    A non-directory that this tree has at `path` is replaced; an existing directory gets the new metadata
    and keeps its content; a non-directory over an existing directory is an error (EISDIR).
    """

    kind: Kind
    path: bytes
    mode: int = -1
    uid: int = 0
    gid: int = 0
    mtime_ns: int | None = None
    src_fd: int = -1
    src: bytes = b""
    extra: bytes | int | None = None


def place(
    entries: Sequence[tuple[object, ...]],
    tree: str,
    *,
    owners: Owners,
    source: Source,
    trees: Sequence[int] = (),
    lent: bytes = b"",
) -> None:
    """Make `entries` in `tree`, in order; metadata of directories is applied after the last entry.

    `src_fd` of the entries: of a directory (source "context") or of trees T, from `open_tree` (source
    "tree"); one batch may mix descriptors. `trees` are those that the directories of subtrees merge, topmost first.
    Files of those that `lent` has a 1 for are linked where nothing about them changes: nobody may write to them.
    Else data is cloned where the file system can, or copied with its holes. xattrs come along by the allow-list.
    OSError names step and path; what was made before stays.
    """
    fd = open_tree(tree)
    try:
        _native.place(entries, fd, owners, source, trees, lent or bytes(len(trees)))
    finally:
        os.close(fd)
