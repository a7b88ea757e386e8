"""Names and their values in the order of declaration: environment, arguments, labels.

A file may declare thousands of names, one instruction each. What finds a name is therefore made once and
handed on from each Pairs to the one made of it, which leaves behind how to get the older one back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Pair = tuple[str, str]


class Pairs:
    """Immutable to its users: values by name, in the order in which the names came first."""

    __slots__ = ("_found", "_items", "_newer", "_undo")

    def __init__(self, items: Iterable[Pair] = ()) -> None:
        self._found: dict[str, str] | None = dict(items)
        self._items: tuple[Pair, ...] | None = None
        self._newer: Pairs | None = None
        self._undo: tuple[tuple[str, str | None], ...] = ()

    @property
    def by_name(self) -> Mapping[str, str]:
        """Valid until `merged` makes another Pairs of this one."""
        return self._values()

    @property
    def items(self) -> tuple[Pair, ...]:
        if self._items is None:
            self._items = tuple(self._values().items())
        return self._items

    def merged(self, new: Iterable[Pair]) -> Pairs:
        """With `new` on top: a known name keeps its place."""
        grown, found = Pairs(new), self._values()
        fresh = grown._values()
        self._undo = tuple((name, found.get(name)) for name in fresh)
        self._newer, self._found = grown, None
        found.update(fresh)
        grown._found = found
        return grown

    def _values(self) -> dict[str, str]:
        if self._found is None:
            self._found = self._restored()
        return self._found

    def _restored(self) -> dict[str, str]:
        """The values of the nearest newer one that has any, with what was merged since taken back."""
        path, place = [], self
        while place._found is None and place._newer is not None:
            path.append(place)
            place = place._newer
        found = dict(place._found or {})
        for step in reversed(path):
            _take_back(found, step._undo)
        return found


def _take_back(found: dict[str, str], undo: tuple[tuple[str, str | None], ...]) -> None:
    for name, value in undo:
        if value is None:
            del found[name]
        else:
            found[name] = value
