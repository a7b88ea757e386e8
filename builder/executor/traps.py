"""What a step fell into that --strict refuses: kept with its result, so that a strict build finds it there, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.errors import Span

    Refuse = Callable[[str, str, Span | None], None]


class Traps:
    """Those of one step, at `span`. `refuse(rule, detail, span)` raises where the build is strict."""

    def __init__(self, refuse: Refuse, span: Span | None) -> None:
        self._refuse = refuse
        self._span = span
        self.found: list[str] = []

    def add(self, rule: str, detail: str) -> None:
        self.found.append(rule)
        self._refuse(rule, detail, self._span)


def ignored(rule: str, detail: str) -> None:
    """An `add` for trees that no instruction speaks of."""
