"""A tree becomes a layer: one streaming pass, hashed and compressed beside the reading.

    T/diff ─► native.pack (thread) ─► pipe ─► SHA-256 = diff ID ─► compress (threads) ─► SHA-256 = digest ─► out
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.layers.codec import Compression, Writer
    from builder.layers.tree import Owners


class Packed(NamedTuple):
    """`diff_id` and `diff_size` are of the tar, `digest` and `size` of what was written to `out`."""

    diff_id: str
    digest: str
    size: int
    diff_size: int
    entries: int


def pack_diff(
    tree: str,
    lowers: Sequence[str],
    out: Writer,
    *,
    owners: Owners,
    clamp: int,
    compression: Compression = "gzip",
    level: int | None = None,
    threads: int | None = None,
) -> Packed:
    """Write the layer that turns the merged view of `lowers` (topmost first) into that with `tree` on top.

    An entry that the lower view has already, the same in all that a tar says, is left out; no entries means
    that nothing changed (an empty archive is still written). No mtime is later than `clamp`.
    """
    raise NotImplementedError


def pack_view(trees: Sequence[str], out: Writer, *, owners: Owners, clamp: int) -> Packed:
    """Write the merged view of `trees` (topmost first) as one plain tar."""
    raise NotImplementedError
