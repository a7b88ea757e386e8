"""Directories that a layer has something in without a word about them: they are as the layers below have them.

Each layer is a tree of its own, in which such a directory has to be something; stacked, that would hide what a
lower layer says of it. So a stack gets one more tree on top, with nothing in it but these directories as they
should be. It goes by the whole stack: over other layers the same layer means others.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.layers.place import place
from builder.layers.tree import IMPLIED_NS, create_tree, read_implied
from builder.layers.unpack import parts
from builder.snapshots.view import View

if TYPE_CHECKING:
    from builder.layers.tree import Owners
    from builder.snapshots.filetree import Entry
    from builder.snapshots.snapshot import Snapshot


def make_attributes(snapshot: Snapshot, tree: str, owners: Owners) -> None:
    """Make `tree`, for the top of `snapshot`: what only upper layers imply is there as the next lower one has it.

    Beside that it has what these directories are in, and so at least the root, as it is shown without it.
    """
    create_tree(tree)
    with View(snapshot, owners) as view:
        shown = {path: entry for path in _implied(snapshot) if (entry := _said(view, path))}
        for above in {b"", *(part for path in shown for part in parts(path))} - shown.keys():
            shown[above] = next(view.stacked(os.fsdecode(above)))
        place([_row(path, shown[path], view) for path in sorted(shown)], tree, owners=owners, source="tree")


def _implied(snapshot: Snapshot) -> set[bytes]:
    return {part for tree in snapshot.trees[:-1] for path in read_implied(tree) for part in parts(path)}


def _said(view: View, path: bytes) -> Entry | None:
    """The directory that one which is implied is like; None where none is, and where what is shown is not implied."""
    found = list(view.stacked(os.fsdecode(path)))
    said = next((entry for entry in found if entry.mtime_ns != IMPLIED_NS), None)
    return said if found and said is not found[0] else None


def _row(path: bytes, like: Entry, view: View) -> tuple[object, ...]:
    return ("dir", path, -1, -1, -1, None, view.descriptor(like.place), path, None)
