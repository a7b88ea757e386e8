"""Cuts a stream of bytes into lines, with bounded memory, and hides what nobody may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LONGEST_LINE = 64 * 1024
MASK = b"****"


def mask(line: bytes, hidden: Sequence[bytes]) -> bytes:
    """`line` with MASK for each stretch that values of `hidden` cover, also where they overlap."""
    return _covered(line, _stretches(line, hidden), 0)


class Lines:
    """Feeds whole lines without newline to `sink`. A line beyond LONGEST_LINE goes out in pieces.

    No value of `hidden` goes out, not even in two pieces.
    """

    def __init__(self, sink: Callable[[bytes], None], hidden: Sequence[bytes] = ()) -> None:
        self._sink = sink
        self._hidden = hidden
        # A value that begins in a piece must be seen to its end before the piece goes out.
        self._ahead = max(map(len, hidden), default=1) - 1
        self._rest = b""
        self._told = 0  # bytes at the start of the rest that the last MASK stands for

    def feed(self, piece: bytes) -> None:
        *lines, rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._rest = line
            while len(self._rest) > LONGEST_LINE + self._ahead:
                self._put(LONGEST_LINE)
            self._put(len(self._rest))
        self._rest = rest
        while len(self._rest) >= LONGEST_LINE + self._ahead:
            self._put(LONGEST_LINE)

    def finish(self) -> None:
        """What came after the last newline is a line, too."""
        if self._rest:
            self._put(len(self._rest))

    def _put(self, size: int) -> None:
        """The first `size` bytes of the rest go out."""
        text, self._rest = self._rest, self._rest[size:]
        told, self._told = self._told, 0
        if not self._hidden:
            self._sink(text[:size])
            return
        stretches = [each for each in _stretches(text, self._hidden, told) if each[0] < size]
        end = stretches[-1][1] if stretches else 0
        if end > size:
            stretches[-1] = (stretches[-1][0], size)
            self._told = end - size
        self._sink(_covered(text[:size], stretches, told))


def _stretches(line: bytes, hidden: Sequence[bytes], told: int = 0) -> list[tuple[int, int]]:
    """(start, end) of what is hidden, in order, none overlapping another. The first `told` bytes are."""
    found = [(start, start + len(value)) for value in hidden for start in _occurrences(line, value)]
    merged = [(0, told)] if told else []
    for start, end in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _occurrences(line: bytes, value: bytes) -> Iterator[int]:
    start = line.find(value)
    while start >= 0:
        yield start
        start = line.find(value, start + 1)


def _covered(line: bytes, stretches: Sequence[tuple[int, int]], told: int) -> bytes:
    """With a MASK for each stretch but for one at the start that a MASK has been told for."""
    pieces: list[bytes] = []
    here = 0
    for start, end in stretches:
        pieces += [line[here:start], b"" if told and not start else MASK]
        here = end
    return b"".join([*pieces, line[here:]])
