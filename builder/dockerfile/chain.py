"""Sequences that grow at their end: history, layers, whatever each instruction adds one of."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")


class Chain(Generic[Item]):
    """Immutable to its users. Those that were made of each other share one list, of which each shows its beginning.

    Ten thousand instructions would copy a tuple ten thousand times; here only a second branch copies.
    """

    __slots__ = ("_items", "_length")

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._items = list(items)
        self._length = len(self._items)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Item]:
        return islice(self._items, self._length)

    def plus(self, *new: Item) -> Chain[Item]:
        """With `new` behind it."""
        grown: Chain[Item] = Chain.__new__(Chain)
        grown._items = self._items if len(self._items) == self._length else list(self)
        grown._items.extend(new)
        grown._length = len(grown._items)
        return grown
