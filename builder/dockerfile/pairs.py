"""Names and their values in the order of declaration: environment, arguments, labels.

A file may declare thousands of names, one instruction each. What finds a name is therefore made once and
handed on from each Pairs to the one made of it, instead of being made anew by every instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Pair = tuple[str, str]


class Pairs(tuple[Pair, ...]):
    """A tuple of pairs, no name twice, that finds values by name."""

    _found: dict[str, str] | None = None

    @property
    def by_name(self) -> Mapping[str, str]:
        """Valid until `merged` makes another Pairs of this one."""
        if self._found is None:
            self._found = dict(self)
        return self._found

    def merged(self, new: Iterable[Pair]) -> Pairs:
        """With `new` on top: a known name keeps its place."""
        fresh = dict(new)
        known = self.by_name
        if any(name in known for name in fresh):
            return Pairs({**known, **fresh}.items())
        grown = Pairs((*self, *fresh.items()))
        grown._found, self._found = {} if self._found is None else self._found, None
        grown._found.update(fresh)
        return grown


def pairs_of(items: tuple[Pair, ...]) -> Pairs:
    return items if isinstance(items, Pairs) else Pairs(dict(items).items())
