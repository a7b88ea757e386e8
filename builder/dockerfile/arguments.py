"""The argument forms that instructions share (dockerfile-language 1.1, 1.4, 1.10).

| form | used by | example |
|---|---|---|
| JSON array | exec forms, lists | `["a", "b c"]` |
| list | FROM, EXPOSE, VOLUME, COPY, ADD | `a b`, no quoting |
| words | ARG, ENV, LABEL | `a="b c" d`, quotes and escapes stay |
| key and value | ENV, LABEL | `a=b c=d`, or `a rest of line` |
"""

from __future__ import annotations

import re
from functools import cache
from typing import NoReturn

from builder.dockerfile.blanks import BLANKS, SEPARATOR
from builder.dockerfile.faults import Fault


def json_array(rest: str) -> tuple[str, ...] | None:
    """The strings of a JSON array; None when `rest` is no JSON array, which is then another form.

    A valid array of anything but strings is an error.
    """
    if not rest.lstrip(BLANKS).startswith("["):
        return None
    import json

    try:
        items = json.loads(rest.strip(BLANKS), parse_constant=_not_json)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in items):
        raise Fault("a JSON array of arguments must hold strings only", near="[")
    # What is not valid UTF-8 has no place in JSON; it must not turn into other bytes here.
    return tuple(re.sub("[\ud800-\udfff]", "\ufffd", item) for item in items)


def _not_json(name: str) -> NoReturn:
    raise ValueError(name)


def split_list(rest: str) -> tuple[str, ...]:
    """Split at white space: neither quotes nor escapes keep anything together."""
    return tuple(SEPARATOR.split(rest)) if rest else ()


def json_or_list(rest: str) -> tuple[str, ...]:
    array = json_array(rest)
    return split_list(rest) if array is None else array


def split_words(rest: str, escape: str = "\\") -> list[str]:
    """Split at white space that is neither quoted nor escaped; quotes and escapes stay in the words."""
    return _word_pattern(escape).findall(_without_lone_escape(rest, escape))


def _without_lone_escape(text: str, escape: str) -> str:
    """`text` without an escape character at its end that has nothing to escape."""
    trailing = len(text) - len(text.rstrip(escape))
    return text[:-1] if trailing % 2 else text


@cache
def _word_pattern(escape: str) -> re.Pattern[str]:
    mark = re.escape(escape)
    parts = (
        f"{mark}.",
        r"'[^']*(?:'|\Z)",  # quotes may be left open here: the expander is the one to refuse them
        rf'"(?:{mark}.|[^"{mark}])*(?:"|\Z)',
        f"[^{BLANKS}'\"{mark}]",
    )
    return re.compile(f"(?:{'|'.join(parts)})+", re.DOTALL)


def key_values(rest: str, instruction: str, escape: str) -> tuple[tuple[tuple[str, str], ...], bool]:
    """Raw pairs, and whether they were written in the legacy form `KEY value`."""
    words = split_words(rest, escape)
    if not words:
        raise Fault(f"{instruction} requires at least one argument", hint=f"{instruction} key=value …")
    if "=" not in words[0]:
        return (_legacy_pair(rest, instruction),), True
    return tuple(_pair(word, instruction) for word in words), False


def _legacy_pair(rest: str, instruction: str) -> tuple[str, str]:
    parts = SEPARATOR.split(rest, maxsplit=1)
    if len(parts) < 2:
        raise Fault(f"{instruction} must have two arguments", near=rest, hint=f"{instruction} {rest}=value")
    return parts[0], parts[1]


def _pair(word: str, instruction: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise Fault(f"can't find = in {word!r}", near=word, hint=f"{instruction} takes name=value")
    if not key:
        raise Fault(f"{instruction} names can not be blank", near=word)
    return key, value
