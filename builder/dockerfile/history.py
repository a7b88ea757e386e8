"""The `created_by` texts of an image's history, as the reference implementation writes them."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from builder.dockerfile.faults import Fault
from builder.oci.config import History

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from builder.oci.config import Healthcheck

_NO_TEXT = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"
_QUOTE = '"'
_COMMENT = "buildkit.dockerfile.v0"


def entry(text: str, *, empty: bool) -> History:
    """Metadata, whose values stand in the config too: what is not UTF-8 has no place in it. Raises without a span."""
    return History(created_by=as_text(text), comment=_COMMENT, empty_layer=empty)


def as_text(text: str) -> str:
    if found := _NO_TEXT.search(text):
        byte = found[0].encode("utf-8", "surrogateescape" if "\udc80" <= found[0] <= "\udcff" else "surrogatepass")
        raise Fault(f"not UTF-8: {byte!r}", hint="the image's configuration is JSON, which is UTF-8")
    return text


def step(text: str) -> History:
    """RUN, COPY or ADD, which the reference marks; WORKDIR it does not, though that has a layer too."""
    # A command and a path may be any bytes; this text only tells of them.
    return entry(f"{_NO_TEXT.sub(_REPLACEMENT, text)} # buildkit", empty=False)


def pairs(name: str, items: Iterable[tuple[str, str]]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in items)])


def run(argv: Sequence[str], args: Sequence[tuple[str, str]]) -> str:
    declared = [f"|{len(args)}", *(f"{key}={value}" for key, value in args)] if args else []
    return " ".join(["RUN", *declared, *argv])


def copy(name: str, flags: Iterable[tuple[str, str | None]], words: Iterable[str]) -> str:
    return " ".join([name, *(f"--{flag}={value}" for flag, value in flags if value), *words])


def quoted(name: str, words: Sequence[str]) -> str:
    return f"{name} {_quoted_list(words)}"


def _quoted_list(words: Sequence[str]) -> str:
    return "[" + " ".join(f'"{_escaped(word, _QUOTE)}"' for word in words) + "]"


def plain_list(name: str, words: Sequence[str]) -> str:
    return f"{name} [{' '.join(words)}]"


def ports(ports: Sequence[str]) -> str:
    return plain_list("EXPOSE", ports)


def healthcheck(check: Healthcheck) -> str:
    durations = (check.interval, check.timeout, check.start_period, check.start_interval)
    shown = " ".join(f'"{_duration(duration)}"' for duration in durations)
    return f"HEALTHCHECK &{{{_quoted_list(check.test)} {shown} '{_character(check.retries)}'}}"


def _character(number: int) -> str:
    """The reference prints the number of retries as the character of that number."""
    valid = number <= sys.maxunicode and not 0xD800 <= number <= 0xDFFF
    return _escaped(chr(number) if valid else _REPLACEMENT, "'")


_SHORT = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 92: "\\\\"}


def _escaped(text: str, quote: str) -> str:
    """As Go's %q has it between its quotes."""
    return "".join(f"\\{quote}" if character == quote else _go_character(character) for character in text)


def _go_character(character: str) -> str:
    number = ord(character)
    if number in _SHORT:
        return _SHORT[number]
    if character.isprintable():
        return character
    if 0xDC80 <= number <= 0xDCFF:
        # A byte that is not UTF-8, as it came in.
        return f"\\x{number - 0xDC00:02x}"
    if number < 0x20 or number == 0x7F:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _duration(nanoseconds: int) -> str:
    """As Go prints a Duration: below a second in the largest unit that gives a whole part."""
    if nanoseconds < 10**9:
        for size, unit in ((10**6, "ms"), (10**3, "µs"), (1, "ns")):
            if nanoseconds >= size:
                return f"{_decimal(nanoseconds, size)}{unit}"
        return "0s"
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 10**9)}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(number: int, unit: int) -> str:
    whole, fraction = divmod(number, unit)
    digits = str(fraction).zfill(len(str(unit)) - 1).rstrip("0")
    return f"{whole}.{digits}" if digits and fraction else str(whole)
