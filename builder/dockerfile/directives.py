"""Parser directives: `# key=value` lines at the very top of a file (dockerfile-language 1.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile.blanks import BLANKS
from builder.dockerfile.faults import Fault, did_you_mean, place
from builder.dockerfile.nodes import Check, Directives
from builder.errors import DockerfileError, Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DIRECTIVE = re.compile(r"#[\t\v\f ]*([a-zA-Z][a-zA-Z0-9]*)[\t\v\f ]*=[\t\v\f ]*(.+)")
_SLASHES = re.compile(_DIRECTIVE.pattern.replace("#", "//", 1))
_KEYS = ("escape", "syntax", "check")


class _Found:
    """Directives by key, with the line of each."""

    def __init__(self, file: str, lines: Sequence[str]) -> None:
        self.file = file
        self.lines = lines
        self.values: dict[str, tuple[str, Span]] = {}

    def add(self, key: str, value: str, number: int) -> None:
        span = Span(self.file, number, number)
        if key in self.values:
            raise self.placed(Fault(f"only one {key} parser directive can be used", near=key), span)
        self.values[key] = (value, span)

    def placed(self, error: DockerfileError, span: Span) -> DockerfileError:
        place(error, span, self.lines)
        return error


def read_directives(lines: Sequence[str], file: str) -> tuple[Directives, int]:
    """The directives, and how many lines they take.

    The first line that is no directive we know, even a comment or a blank line, ends them.
    """
    found = _Found(file, lines)
    shebang = bool(lines) and lines[0].startswith("#!")
    number = int(shebang)
    for key, value in _matches(lines[number:]):
        number += 1
        # Below a shebang the line parser of the reference has stopped looking, its detectors have not.
        if not (shebang and key == "escape"):
            found.add(key, value, number)
    return Directives(_escape(found), _syntax(found), _check(found)), number


def asked_syntax(text: str) -> tuple[str, int] | None:
    """The language that a file of any language asks for, and the line: by # or // comments, or as a JSON document."""
    lines = text.split("\n")
    first = int(lines[0].startswith("#!"))
    for style in (_DIRECTIVE, _SLASHES):
        for number, (key, value) in enumerate(_matches(lines[first:], style), first + 1):
            if key == "syntax":
                return value, number
    value = _json_syntax("\n".join(lines[first:]))
    number = next((number for number, line in enumerate(lines, 1) if '"syntax"' in line), 1)
    return (value, number) if value else None


def _json_syntax(text: str) -> str:
    """`syntax` of the JSON document that the text begins with, "" where there is none."""
    if not text.lstrip().startswith("{"):
        return ""
    import json

    try:
        document, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return ""
    value = document.get("syntax")
    return value if isinstance(value, str) else ""


def _matches(lines: Sequence[str], style: re.Pattern[str] = _DIRECTIVE) -> Iterator[tuple[str, str]]:
    for line in lines:
        match = style.fullmatch(line.strip(BLANKS))
        if not match or match[1].lower() not in _KEYS:
            return
        yield match[1].lower(), match[2]


def _syntax(found: _Found) -> str | None:
    return found.values["syntax"][0] if "syntax" in found.values else None


def _escape(found: _Found) -> str:
    if "escape" not in found.values:
        return "\\"
    value, span = found.values["escape"]
    if value not in ("\\", "`"):
        raise found.placed(Fault(f"invalid escape token '{value}' does not match ` or \\", near=value), span)
    return value


def _check(found: _Found) -> Check | None:
    if "check" not in found.values:
        return None
    value, span = found.values["check"]
    try:
        return parse_check(value)
    except DockerfileError as error:
        found.placed(error, span)
        raise


def parse_check(value: str) -> Check:
    """`skip=A,B;error=true;experimental=C`, in any order, `all` for every rule; raises without a span."""
    settings: dict[str, str] = {}
    for part in value.split(";"):
        key, equals, setting = (side.strip(BLANKS) for side in part.partition("="))
        if not equals:
            raise Fault(f"invalid check option {part!r}", near=part.strip(BLANKS), hint="key=value, separated by ;")
        if key not in ("skip", "error", "experimental"):
            hint = did_you_mean(key, ("skip", "error", "experimental"))
            raise Fault(f"invalid check option {key!r}", near=key, hint=hint or "skip, error, experimental")
        if key in settings:
            raise Fault(f"check option {key!r} is given twice", near=part.strip(BLANKS))
        settings[key] = setting
    skip, skip_all = _rules(settings.get("skip"))
    experimental, experimental_all = _rules(settings.get("experimental"))
    return Check(skip, skip_all, _error(settings.get("error")), experimental, experimental_all)


def _rules(setting: str | None) -> tuple[tuple[str, ...], bool]:
    if setting is None:
        return (), False
    if setting.lower() == "all":
        return (), True
    return tuple(rule.strip(BLANKS) for rule in setting.split(",")), False


def _error(setting: str | None) -> bool:
    if setting is None or setting in _FALSE:
        return False
    if setting not in _TRUE:
        raise Fault(f"invalid check option error={setting!r}", near=setting, hint="true or false")
    return True


_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


def check_of_comment(comment: str) -> Check | None:
    """The `check=` of a comment above an instruction. Anything that is not one is only a comment."""
    match = _DIRECTIVE.fullmatch("#" + comment)
    if not match or match[1].lower() != "check":
        return None
    try:
        return parse_check(match[2])
    except DockerfileError:
        return None
