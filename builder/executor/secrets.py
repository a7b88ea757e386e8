"""Secrets of a build: read when a step needs them, kept in memory alone, and hidden from what is shown.

A value is in no key, tree, log or file of ours. What a step prints of it is shown as ****.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from builder.errors import BuildError, StepFailed
from builder.sandbox.output import mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from builder.events import Emit, Event

LIMIT = 500 << 10  # bytes, as the reference implementation has it
SHORTEST_LINE = 4  # bytes, of a secret of several lines: a lone brace is no secret, and would hide every brace


class Secrets:
    """`sources` are (kind, value) by id: a file, a variable, or "" for the variable if it is set, else the file."""

    def __init__(self, sources: Mapping[str, tuple[str, str]], environment: Mapping[str, str] = os.environ) -> None:
        self._sources = sources
        self._environment = environment
        self._values: dict[str, bytes | None] = {}
        self._hidden: tuple[bytes, ...] | None = None

    def get(self, name: str) -> bytes | None:
        """The value; None when the build was given no such secret. Raises BuildError when it cannot be read."""
        if name not in self._sources:
            return None
        if name not in self._values:
            self._values[name] = self._read(name, *self._sources[name])
        return self._values[name]

    def mask_text(self, text: str) -> str:
        """`text` with each value in it replaced."""
        hidden = self.hidden()
        return mask(text.encode("utf-8", "surrogateescape"), hidden).decode("utf-8", "surrogateescape")

    def mask_error(self, error: BuildError) -> None:
        """Hide the values in all that an error says."""
        if not self._sources:
            return
        error.message = self.mask_text(error.message)
        error.args = (error.message,)
        error.hint = self.mask_text(error.hint) if error.hint else error.hint
        if isinstance(error, StepFailed):
            error.step = self.mask_text(error.step)
            error.tail = tuple(map(self.mask_text, error.tail))

    def masking(self, emit: Emit) -> Emit:
        """An Emit that hides the values in the names, messages and lines of events."""

        def masked(event: Event) -> None:
            texts = {field: getattr(event, field, None) for field in ("step", "line", "message")}
            changed: dict[str, Any] = {
                name: self.mask_text(text) for name, text in texts.items() if isinstance(text, str)
            }
            emit(event._replace(**changed))

        return masked if self._sources else emit

    def hidden(self) -> tuple[bytes, ...]:
        """What no line of output may show: each value, or its lines where it has several."""
        if self._hidden is None:
            values = [self._quietly(name) for name in self._sources]
            self._hidden = tuple(sorted({part for value in values if value for part in _parts(value)}))
        return self._hidden

    def _quietly(self, name: str) -> bytes | None:
        try:
            return self.get(name)
        except BuildError:  # told when a step asks for it
            return None

    def _read(self, name: str, kind: str, value: str) -> bytes | None:
        if kind == "env" or (not kind and value in self._environment):
            return os.fsencode(self._environment[value]) if value in self._environment else None
        try:
            with open(value, "rb") as file:
                content = file.read(LIMIT + 1)
        except OSError as error:
            raise BuildError(
                f"secret {name}: cannot read {value}: {os.strerror(error.errno or 0)}", hint="see --secret"
            ) from error
        if len(content) > LIMIT:
            raise BuildError(f"secret {name}: {value} is larger than 500 KiB", hint="a secret is at most 500 KiB")
        return content


def _parts(value: bytes) -> Iterable[bytes]:
    """What of a value may stand in one line of output."""
    lines = [line.strip() for line in value.strip().split(b"\n")]
    return [line for line in lines if line and (len(lines) == 1 or len(line) >= SHORTEST_LINE)]
