"""What was fetched: a tree in the store, what a key is made of, and when it was last changed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Fetched(NamedTuple):
    """`content` identifies the tree, wherever it came from; `time` is in seconds of the epoch, None for unknown.

    `name` is that of the one file of a download, "" for a checkout. `moved` is true when it was not here before
    this build, `size` the bytes of a download.
    """

    tree: str
    content: tuple[str, ...]
    time: int | None = None
    name: str = ""
    moved: bool = False
    size: int = 0


def identity(*parts: Sequence[object] | object) -> str:
    """64 hex digits for a list of JSON values."""
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()
