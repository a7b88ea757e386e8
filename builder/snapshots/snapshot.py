"""A snapshot: an immutable file tree on this machine, as a stack of trees."""

from __future__ import annotations

from builder.values import NamedTuple


class Snapshot(NamedTuple):
    """`trees` are directories in the tree format of `builder.layers.tree`, topmost first; empty means an empty root."""

    trees: tuple[str, ...]

    def over(self, tree: str) -> Snapshot:
        """This snapshot with one more tree on top."""
        return Snapshot((tree, *self.trees))


EMPTY = Snapshot(())
