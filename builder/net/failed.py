"""A try that another may mend, and what is said of it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import BuildError, Cancelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from builder.events import Flag
    from builder.net.watch import Line

AGAIN = (408, 425, 429, 500, 502, 503, 504)  # statuses of which the next try may be another


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


@contextmanager
def explained(shown: str, cancelled: Flag, line: Line | None = None) -> Iterator[None]:
    """What goes wrong between here and the server, in words: Failed, or Lasting where another try cannot help."""
    import http.client

    from urllib3.exceptions import HTTPError

    from builder.net.reasons import Lasting, Unreached, unreached

    try:
        yield
    except (OSError, http.client.HTTPException, HTTPError, ValueError) as error:
        if cancelled.is_set():
            raise stopped() from None
        silent = line is not None and line.silent
        found = Unreached(shown, "no answer in time") if silent else unreached(shown, error)
        if isinstance(found, Lasting):
            raise found from error
        raise Failed(found) from error
