"""A snapshot: an immutable file tree on this machine, as a stack of trees."""

from __future__ import annotations

from builder.values import NamedTuple


class Snapshot(NamedTuple):
    """`trees` are directories in the tree format of `builder.layers.tree`, topmost first; empty means an empty root."""

    trees: tuple[str, ...]

    def over(self, tree: str) -> Snapshot:
        """This snapshot with one more tree on top.

        The same tree further down goes: all that it says is said above, and the kernel stacks no directory twice.
        """
        return Snapshot((tree, *(other for other in self.trees if other != tree)))


EMPTY = Snapshot(())
