"""Durations as Go writes them: `1h30m`, `1.5s`, `500ms`."""

from __future__ import annotations

import re

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = 2**63 - 1


def parse_duration(text: str) -> int | None:
    """Nanoseconds; None for what is no duration or does not fit 64 bits."""
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    total = 0 if unsigned == "0" else _sum(unsigned)
    if total is None or total > _LONGEST:
        return None
    return -total if text.startswith("-") else total


def _sum(text: str) -> int | None:
    total = position = 0
    # Bounded, so that no number is too long to convert.
    while position < len(text) <= 1000:
        part = _PART.match(text, position)
        if not part or not (part[1] or part[2]):
            return None
        unit, fraction = _NANOSECONDS[part[3]], part[2] or ""
        total += int(part[1] or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        position = part.end()
    return total if position == len(text) > 0 else None
