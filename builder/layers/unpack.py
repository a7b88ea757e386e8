"""A tar stream, compressed or not, becomes a tree.

    stream ─► decompress (thread) ─► pipe ─► native.unpack ─► T/diff, T/journal
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from builder.layers.codec import Reader
    from builder.layers.tree import Owners, Whiteouts


class Limits(NamedTuple):
    """What an archive may ask of us (a bomb is an error, not an outage)."""

    entries: int = 10_000_000
    bytes: int = 1 << 40
    header_bytes: int = 1 << 20
    path: int = 4095
    name: int = 255
    depth: int = 512
    ratio: int = 20_000


DEFAULT_LIMITS = Limits()


class Unpacked(NamedTuple):
    entries: int
    bytes: int


def unpack(
    stream: Reader | int,
    tree: str,
    *,
    owners: Owners,
    whiteouts: Whiteouts = "overlay",
    limits: Limits = DEFAULT_LIMITS,
    force_walk: bool = False,
) -> Unpacked:
    """Unpack `stream` (a reader or a descriptor, read to its end) into `tree`, which is made if missing.

    A tree that has files already is unpacked over: later entries win. Whiteouts "overlay" is a layer;
    "literal" a plain tar, in which `.wh.` names are errors. ArchiveError names the entry; the tree is then
    rubbish that the caller deletes. Nothing outside T/diff is touched whatever the archive says.
    """
    raise NotImplementedError
