"""What a renderer is, and the one wrapper that every renderer runs in."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from builder.events import Event


class Renderer(Protocol):
    """Shows events as they come.

    Called by one thread at a time. `close` puts the terminal back as it was; it may be called twice,
    and no event follows it.
    """

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...


class Serial:
    """Lets several threads emit to one renderer, one whole event at a time.

    When the reader is gone (closed pipe, lost terminal) the renderer falls silent and the build goes
    on: what is built does not depend on who watches.
    """

    def __init__(self, inner: Renderer) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self._silent = False

    def __call__(self, event: Event) -> None:
        with self._lock:
            if self._silent:
                return
            try:
                self._inner(event)
            except OSError:
                self._silent = True

    def close(self) -> None:
        with self._lock:
            self._silent = True
            try:
                self._inner.close()
            except OSError:
                pass


class Quiet:
    """Shows nothing: `--quiet` leaves the digest alone on standard output."""

    def __call__(self, event: Event) -> None:
        pass

    def close(self) -> None:
        pass


def resolve(mode: str, stream: TextIO, term: str) -> str:
    """What "auto" means for this stream: tty where a cursor can be moved, else plain."""
    if mode != "auto":
        return mode
    return "tty" if stream.isatty() and term not in ("", "dumb") else "plain"


def renderer(mode: str, stream: TextIO, *, colour: bool = False) -> Serial:
    """The renderer of a resolved mode, safe to call from any thread."""
    return Serial(_bare(mode, stream, colour))


def _bare(mode: str, stream: TextIO, colour: bool) -> Renderer:
    if mode == "quiet":
        return Quiet()
    if mode == "json":
        from builder.progress.json_lines import JsonLines

        return JsonLines(stream)
    if mode == "rawjson":
        from builder.progress.rawjson import RawJson

        return RawJson(stream)
    if mode == "tty":
        from builder.progress.tty import Tty

        return Tty(stream, colour=colour)
    from builder.progress.plain import Plain

    return Plain(stream, colour=colour)
