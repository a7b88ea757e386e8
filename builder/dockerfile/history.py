"""The `created_by` texts of an image's history, as the reference implementation writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from builder.oci.config import History

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from builder.oci.config import Healthcheck

_COMMENT = "buildkit.dockerfile.v0"


def entry(text: str, *, empty: bool) -> History:
    return History(created_by=text, comment=_COMMENT, empty_layer=empty)


def step(text: str) -> History:
    """RUN, COPY or ADD, which the reference marks; WORKDIR it does not, though that has a layer too."""
    return entry(f"{text} # buildkit", empty=False)


def pairs(name: str, items: Iterable[tuple[str, str]]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in items)])


def run(argv: Sequence[str], args: Sequence[tuple[str, str]]) -> str:
    declared = [f"|{len(args)}", *(f"{key}={value}" for key, value in args)] if args else []
    return " ".join(["RUN", *declared, *argv])


def copy(name: str, flags: Iterable[tuple[str, str | None]], words: Iterable[str]) -> str:
    return " ".join([name, *(f"--{flag}={value}" for flag, value in flags if value), *words])


def quoted(name: str, words: Sequence[str]) -> str:
    return f"{name} [{' '.join(json.dumps(word, ensure_ascii=False) for word in words)}]"


def plain_list(name: str, words: Sequence[str]) -> str:
    return f"{name} [{' '.join(words)}]"


def ports(ports: Sequence[str]) -> str:
    return plain_list("EXPOSE", ports)


def healthcheck(check: Healthcheck) -> str:
    durations = (check.interval, check.timeout, check.start_period, check.start_interval)
    words = " ".join(json.dumps(word, ensure_ascii=False) for word in check.test)
    shown = " ".join(json.dumps(_seconds(duration)) for duration in durations)
    return f"HEALTHCHECK &{{[{words}] {shown} '\\x{check.retries:02x}'}}"


def _seconds(nanoseconds: int) -> str:
    """As Go prints a Duration of whole seconds; finer ones as a fraction of a second."""
    if not nanoseconds:
        return "0s"
    seconds = nanoseconds / 1e9
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{rest:g}s"
    if hours or minutes:
        text = f"{minutes:g}m{text}"
    return f"{hours:g}h{text}" if hours else text
