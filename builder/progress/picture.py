"""What the live part of a terminal shows: running steps, their time, their last lines. Pure."""

from __future__ import annotations

from builder.progress.text import duration, size
from builder.values import NamedTuple

TAIL = 6


class Running(NamedTuple):
    """`moved` are the bytes that are here, and all, of each layer that the step brings."""

    step: str
    since: float
    tail: tuple[str, ...] = ()
    moved: tuple[tuple[str, int, int], ...] = ()

    def heard(self, line: str) -> Running:
        return self._replace(tail=(*self.tail, line)[-TAIL:])

    def brought(self, digest: str, current: int, total: int) -> Running:
        others = tuple(each for each in self.moved if each[0] != digest)
        return self._replace(moved=(*others, (digest, current, total)))

    @property
    def amount(self) -> str:
        """How much of what it brings is here."""
        if not self.moved:
            return ""
        return f" {size(sum(each[1] for each in self.moved))} of {size(sum(each[2] for each in self.moved))}"


class Row(NamedTuple):
    style: str  # "step", "output" or "more"
    text: str


def picture(running: tuple[Running, ...], now: float, height: int) -> list[Row]:
    """Rows for a terminal of `height` lines: every step that fits, then its output where there is room.

    One line stays free for the cursor, so that the terminal never scrolls what is being redrawn.
    """
    room = max(1, height - 1)
    shown = running if len(running) <= room else running[: room - 1]
    hidden = len(running) - len(shown)
    spare = 0 if hidden else (room - len(shown)) // max(1, len(shown))
    rows = [row for step in shown for row in _rows(step, now, min(TAIL, spare))]
    return [*rows, Row("more", f"   … and {hidden} more")] if hidden else rows


def _rows(step: Running, now: float, tail: int) -> list[Row]:
    head = Row("step", f"  {duration(max(0.0, now - step.since)):>7} {step.step}{step.amount}")
    return [head, *(Row("output", f"          │ {line}") for line in step.tail[len(step.tail) - tail :])]
