"""Sizes as people write them: `64m`, `1.5GiB`, `4096`."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+)(?:\.(\d+))? ?([kmgtp]?)i?b?", re.IGNORECASE | re.ASCII)
_LONGEST = 100


def parse_size(text: str) -> int | None:
    """Bytes; units are powers of 1024. None for what is no size."""
    match = _SIZE.fullmatch(text) if len(text) < _LONGEST else None
    if not match:
        return None
    whole, fraction, unit = match.groups()
    scale = 1 << 10 * " kmgtp".index(unit.lower() or " ")
    return int(whole) * scale + int(fraction or 0) * scale // int(10 ** len(fraction or ""))
