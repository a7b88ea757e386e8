"""A try that another may mend, and what is said of it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import BuildError, Cancelled
from builder.net.address import redacted
from builder.net.reasons import Lasting, unreached

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from builder.events import Flag
    from builder.net.watch import Line


class Failed(Exception):
    """`error` is what to tell if no try succeeds, `wait` how many seconds the server asked to wait."""

    def __init__(self, error: BuildError, wait: float = 0.0) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait = wait


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds, given as such or as a date (RFC 9110, 10.2.3); 0 for what is neither."""
    from email.utils import parsedate_to_datetime

    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 9:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def stopped() -> Cancelled:
    return Cancelled("the build was stopped")


def where(url: str) -> str:
    """How messages name what was asked: host and path."""
    return redacted(url).partition("://")[2]


@contextmanager
def explained(url: str, cancelled: Flag, line: Line | None = None) -> Iterator[None]:
    """What goes wrong between here and the server, in words; all but a refused certificate may be tried again."""
    import http.client

    # The package and no module of it: threads that import two of those at a time lock each other out (Python 3.11).
    import urllib3

    try:
        yield
    except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError, ValueError) as error:
        if cancelled.is_set():
            raise stopped() from None
        silent = line is not None and line.silent
        told = unreached(redacted(url), TimeoutError() if silent else error)
        if isinstance(told, Lasting):
            raise told from error
        raise Failed(told) from error
