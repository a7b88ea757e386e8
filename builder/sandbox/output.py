"""Cuts a stream of bytes into lines, with bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_LINE = 64 * 1024


class Lines:
    """Feeds whole lines without newline to `sink`. A line beyond LONGEST_LINE goes out in pieces."""

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        *lines, rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._sink(line)
        while len(rest) >= LONGEST_LINE:
            self._sink(rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        self._rest = rest

    def finish(self) -> None:
        """What came after the last newline is a line, too."""
        if self._rest:
            self._sink(self._rest)
        self._rest = b""
