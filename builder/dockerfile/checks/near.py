"""Which known name an unknown one was meant to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CLOSE = 2  # edits: a letter left out, doubled or changed, or two that changed places
_LONGEST = 64  # what is longer is not compared: the cost is quadratic


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """The known name fewest edits away, in any case; None when all are far."""
    if len(name) > _LONGEST:
        return None
    near = [(_distance(name.lower(), each.lower()), each) for each in known if abs(len(each) - len(name)) <= _CLOSE]
    best = min(near, default=None)
    return best[1] if best and best[0] <= _CLOSE and best[0] < len(name) else None


def _distance(first: str, second: str) -> int:
    row = list(range(len(second) + 1))
    for number, character in enumerate(first, 1):
        above, row[0] = row[0], number
        for at, other in enumerate(second, 1):
            cost = min(row[at] + 1, row[at - 1] + 1, above + (character != other))
            above, row[at] = row[at], cost
    return row[-1]
