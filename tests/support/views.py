"""Small trees and views over them, made from described files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.layers.tree import DIFF, OPAQUE_XATTR, create_tree
from builder.snapshots.snapshot import Snapshot
from builder.snapshots.view import View
from tests.support import setup_text

if TYPE_CHECKING:
    from pathlib import Path


def make_tree(tree: Path, text: str = "", *, whiteouts: tuple[str, ...] = (), opaque: tuple[str, ...] = ()) -> str:
    """A tree of recorded owners with the files of `text` (`setup_text`)."""
    create_tree(str(tree))
    setup_text.make(text, tree / DIFF)
    for path in opaque:
        os.setxattr(tree / DIFF / path, OPAQUE_XATTR, b"y")
    for path in whiteouts:
        (tree / DIFF / path).parent.mkdir(parents=True, exist_ok=True)
        os.mknod(tree / DIFF / path, 0o020000, 0)
    return str(tree)


def view_of(*trees: str) -> View:
    """The view of trees given topmost first."""
    return View(Snapshot(trees), "recorded")
