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


COMMITTED = "committed"  # beside diff/ of a checkout: the time of its commit


def file_content(sha256: str, name: str, time: int | None) -> tuple[str, ...]:
    """What identifies a download: `sha256` in hex, the name of the file, the time that its server said."""
    return ("http", sha256, name, "" if time is None else str(time))


def file_tree(content: tuple[str, ...]) -> str:
    """The name, among the trees of the store, of a download."""
    _, sha256, name, time = content
    return f"http-{identity(sha256, name, int(time or 0))}"


def checkout_content(
    commit: str, subdir: str, submodules: bool, commit_times: bool, kept: tuple[str, ...]
) -> tuple[str, ...]:
    """What identifies a checkout; `kept` are remote and ref where the .git of it tells them."""
    return ("git", commit, subdir, str(submodules), str(commit_times), *kept)


def checkout_tree(content: tuple[str, ...]) -> str:
    """The name, among the trees of the store, of a checkout."""
    return f"git-{identity(*content)}"
