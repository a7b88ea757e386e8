"""What a build under --offline lacks: all of it, each with the instruction or option that asks for it.

error: Dockerfile:1: --offline forbids to fetch 3 things that this build needs:
  Dockerfile:1: FROM golang:1.21: image golang:1.21 for linux/amd64
  Dockerfile:7: ADD https://example.org/x.tgz /src: https://example.org/x.tgz
  --build-context app: https://example.org/app.git#v1
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile.gitref import redacted
from builder.errors import OfflineError

if TYPE_CHECKING:
    from builder.errors import Span

_LONGEST = 80  # characters of an instruction
_HINT = "fetch it where there is a network, by the same build without --offline; or have it here: see docs/offline.md"


class Absent:
    """Keeps them in the order in which they are found, each once for a place."""

    def __init__(self) -> None:
        self._found: dict[tuple[Span | None, str, str], OfflineError] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, error: OfflineError, span: Span | None, option: str = "") -> None:
        """`option` says what asks for it where no instruction does, as in "--build-context app"."""
        self._found.setdefault((span, option, error.wanted), error)

    def error(self, source: bytes = b"") -> OfflineError:
        """One error for all, in the order of the file. `source` is the text that the spans are places in."""
        if len(self._found) == 1:
            ((span, option, _), error) = next(iter(self._found.items()))
            shown = f"{option}: {error.message}" if option else error.message
            return OfflineError(shown, wanted=error.wanted, hint=error.hint, span=span)
        lines = source.decode("utf-8", "replace").splitlines()
        places = sorted(self._found, key=lambda place: place[0].first if place[0] else 0)
        listed = [f"{_shown(span, lines) if span else option}: {wanted}" for span, option, wanted in places]
        message = f"--offline forbids to fetch {len(listed)} things that this build needs:"
        first = next((span for span, *_ in places if span), None)
        wanted = ", ".join(each for *_, each in places)
        return OfflineError("\n".join([message, *listed]), wanted=wanted, hint=_HINT, span=first)


def _shown(span: Span, lines: list[str]) -> str:
    """The place, and the instruction on one line, as far as there is room."""
    text = redacted(" ".join(" ".join(lines[span.first - 1 : span.last]).replace("\\ ", " ").split()))
    return f"{span}: {text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'}"
