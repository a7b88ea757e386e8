"""The answers of --call=outline and --call=targets, as tables and as the JSON of buildx."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from builder.cli.call import location

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.dockerfile.checks.outline import Outline, Target


def targets(found: Sequence[Target], form: str, content: bytes) -> str:
    if form == "json":
        rows = [
            _without_empty(
                name=each.name,
                default=each.default,
                description=each.description,
                base=each.base,
                location=location(each.span),
            )
            for each in found
        ]
        return _json({"targets": rows}, content)
    lines = [
        (f"{each.name} (default)" if each.default else each.name, each.description or "")
        for each in (target._replace(name=target.name or "-") for target in found)
    ]
    return _table(("TARGET", "DESCRIPTION"), lines)


def outline(found: Outline, form: str, content: bytes) -> str:
    return _outline_json(found, content) if form == "json" else _outline_text(found)


def _outline_json(found: Outline, content: bytes) -> str:
    args = [
        _without_empty(name=arg.name, description=arg.description, value=arg.value, location=location(arg.span))
        for arg in found.args
    ]
    secrets, ssh = (
        [_without_empty(name=each.name, required=each.required, location=location(each.span)) for each in given]
        for given in (found.secrets, found.ssh)
    )
    cache = [{"id": each.id, "location": location(each.span)} for each in found.caches]
    parts = {"name": found.name, "description": found.description, "args": args}
    return _json(_without_empty(**parts, secrets=secrets, ssh=ssh, cache=cache), content)


def _outline_text(found: Outline) -> str:
    head = [("TARGET:", found.name), ("DESCRIPTION:", found.description or "")]
    parts = [_lines([row for row in head if row[1]])]
    if found.args:
        rows = [(arg.name, arg.value or "", arg.description or "") for arg in found.args]
        parts.append(_table(("BUILD ARG", "VALUE", "DESCRIPTION"), rows))
    for title, given in (("SECRET", found.secrets), ("SSH", found.ssh)):
        if given:
            parts.append(_table((title, "REQUIRED"), [(each.name, str(each.required).lower()) for each in given]))
    if found.caches:
        parts.append(_table(("CACHE MOUNT",), [(each.id,) for each in found.caches]))
    return "\n".join(part for part in parts if part)


def _without_empty(**fields: object) -> dict[str, object]:
    """As the reference has it: a field that says nothing is not there."""
    return {name: value for name, value in fields.items() if value not in (None, "", False, [])}


def _json(answer: dict[str, object], content: bytes) -> str:
    return json.dumps({**answer, "sources": [base64.b64encode(content).decode()]}, indent=2) + "\n"


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return _lines([titles, *rows])


def _lines(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    padded = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in padded)
