"""JSON as it is signed by a digest: strict to read, deterministic to write.

Two readers that disagree about a document are an attack (CVE-2021-41190): a key given twice, NaN and
bytes that are not UTF-8 are refused. `Fields` takes a JSON object apart member by member, so that what
nobody took is known and can be kept.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from builder.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
Extra = tuple[tuple[str, object], ...]

MOST = 10_000  # entries of a list: no file system stacks as many layers, and each costs a thousand times its bytes


def decode_any(raw: bytes, what: str) -> object:
    """The JSON value in `raw`. `what` names the document in the error."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
        if b"\\ud" in raw.lower():
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair: others read another text
        return value
    except UnicodeEncodeError:
        raise DocumentError(f"{what} is not valid JSON: a character is half of a pair") from None
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{what} is not valid JSON: {error}") from error


def decode(raw: bytes, what: str) -> dict[str, object]:
    """The JSON object in `raw`."""
    document = decode_any(raw, what)
    if not isinstance(document, dict):
        raise DocumentError(f"{what} is not a JSON object")
    return document


def encode(document: dict[str, object]) -> bytes:
    """Compact UTF-8 JSON in the order of the dict: the same value gives the same bytes everywhere."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DocumentError(f"not text: {error.object[error.start - 40 : error.end + 40]!r}") from error


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        seen: set[str] = set()
        # `add` gives None, so that each name is remembered when it is first seen: no name is counted through the list.
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"key {twice!r} is given twice")
    return document


def _constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


class Fields:
    """The members of one JSON object, each taken once with its type checked; null counts as absent.

    Names are case-sensitive here and not in Go's readers: a member whose name differs from one that
    is taken only by case is refused, or the two would read the document differently.
    """

    def __init__(self, document: object, what: str) -> None:
        if not isinstance(document, dict):
            raise DocumentError(f"{what} is not a JSON object")
        self._left: dict[str, object] = dict(document)
        self._taken: set[str] = set()
        self.what = what

    def fault(self, key: str, expected: str) -> DocumentError:
        return DocumentError(f"{self.what}: {key} is not {expected}")

    def text(self, key: str) -> str:
        value = self._take(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.fault(key, "a string")
        return value

    def required(self, key: str) -> str:
        value = self.text(key)
        if not value:
            raise DocumentError(f"{self.what}: {key} is missing")
        return value

    def flag(self, key: str) -> bool:
        value = self._take(key)
        if value is not None and not isinstance(value, bool):
            raise self.fault(key, "true or false")
        return bool(value)

    def number(self, key: str) -> int:
        value = self._take(key)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
            raise self.fault(key, "a non-negative 64-bit integer")
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of strings, or None where there is none."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fault(key, "a list of strings")
        return tuple(value)

    def mapping(self, key: str) -> tuple[tuple[str, str], ...]:
        """An object of strings, sorted by name."""
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self.fault(key, "an object of strings")
        return tuple(sorted(value.items()))

    def names(self, key: str) -> tuple[str, ...]:
        """The sorted member names of an object that is used as a set (`Volumes`, `ExposedPorts`)."""
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, dict):
            raise self.fault(key, "an object")
        return tuple(sorted(value))

    def each(self, key: str, parse: Callable[[object, str], T]) -> tuple[T, ...]:
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.fault(key, "a list")
        if len(value) > MOST:
            raise DocumentError(f"{self.what}: {key} has {len(value)} entries, more than {MOST}")
        return tuple(parse(item, f"{self.what}: {key}[{number}]") for number, item in enumerate(value))

    def one(self, key: str, parse: Callable[[object, str], T]) -> T | None:
        value = self._take(key)
        return None if value is None else parse(value, f"{self.what}: {key}")

    def has(self, key: str) -> bool:
        return self._left.get(key) is not None

    def mentions(self, key: str) -> bool:
        """True if the member is there in any spelling of upper and lower case, even as null."""
        return any(name.lower() == key.lower() for name in self._left)

    def _take(self, key: str) -> object:
        self._taken.add(key.lower())
        return self._left.pop(key, None)

    def rest(self) -> Extra:
        """What nobody took, sorted by name: written back by `build`."""
        for key in self._left:
            if key.lower() in self._taken:
                raise DocumentError(f"{self.what}: {key!r} differs from a known name only by case")
        return tuple(sorted(self._left.items()))


def build(members: Iterable[tuple[str, object]], extra: Extra = ()) -> dict[str, object]:
    """An object of the members that say something (not None, "", False), then the extra ones."""
    document = {key: value for key, value in members if not (value is None or value is False or value == "")}
    for key, value in extra:
        document.setdefault(key, value)
    return document
