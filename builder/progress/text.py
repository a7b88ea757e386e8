"""The words and numbers that renderers share; and what makes a line of a step safe to show."""

from __future__ import annotations

import re
from functools import cache

# Select Graphic Rendition: colours and weights. Every other escape sequence can move the cursor, set
# the title or answer as if typed, and the output of a step is not trusted with any of that.
_SGR = r"\x1b\[[0-9;:]*m"
_RESET = "\x1b[0m"


def lines(line: str, *, colour: bool) -> list[str]:
    """The printable lines in one line of output: a carriage return begins a new one, nothing is lost."""
    parts = line.rstrip("\r").split("\r")
    return [printable(part, colour=colour) for part in parts if part] or [""]


def printable(line: str, *, colour: bool = False) -> str:
    """`line` with control characters in caret notation; colours are kept or dropped whole."""
    # Most lines end here; and the expressions are compiled by the first that does not, not at start-up.
    if line.isprintable():
        return line
    carets = _carets()
    pieces = [piece.translate(carets) for piece in re.split(_SGR, line)]
    if not colour:
        return "".join(pieces)
    colours = re.findall(_SGR, line)
    woven = "".join(piece + sgr for piece, sgr in zip(pieces, [*colours, ""], strict=True))
    return woven + _RESET if colours else woven


@cache
def _carets() -> dict[int, str]:
    """Control characters but the tab; the surrogates are bytes that are not UTF-8 (PEP 383)."""
    codes = [*range(0x20), *range(0x7F, 0xA0), *range(0xDC80, 0xDD00)]
    return {code: f"^{chr(code ^ 0x40)}" if code < 0x80 else f"\\x{code & 0xFF:02x}" for code in codes if code != 9}


def label(step: str, id: str) -> str:
    """The "[stage 2/3]" that a step's name begins with, else "[#id]"."""
    end = step.find("] ")
    return step[: end + 1] if step.startswith("[") and end > 0 else f"[#{id}]"


def instruction(step: str) -> str:
    """A step's name without its label."""
    end = step.find("] ")
    return step[end + 2 :] if step.startswith("[") and end > 0 else step


def one_line(text: str) -> str:
    """A name on one line: an instruction of several lines is shown by its words."""
    return printable(" ".join(text.split()))


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def size(count: int) -> str:
    """Decimal units, as docker and podman print them."""
    if count < 1000:
        return f"{count} B"
    amount = count / 1000
    for unit in ("kB", "MB", "GB"):
        if amount < 999.95:
            return f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
