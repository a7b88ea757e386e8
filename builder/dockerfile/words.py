"""Variable expansion: turns a raw word and an environment into its value (dockerfile-language 1.3).

Knows quotes, escapes and every `${…}` form. Must not know instructions: which of them expand what is
the table at the end of 1.3, and errors carry no place until a caller gives them one.

    process_word("a'$b'$c", {"c": "1"})    "a$b1"
    process_words("80 $ports", …)          split at unquoted white space, after expansion
    process_body(…)                        a heredoc body: quotes are ordinary characters
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile import modifiers
from builder.dockerfile.blanks import BLANK_RUN
from builder.dockerfile.faults import Fault
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# Deeper nesting of `${a:-${b:-…}}` is refused: it is never meant, and recursion must end.
_DEEPEST = 100
_NAME = re.compile(r"\d+|[@*#?$!-]|\w+")
_HEREDOC_OPERATOR = re.compile(r"<<-?[ \t]*")


class Expansion(NamedTuple):
    """A value, the same split into words, and the names that were found and not found in the environment."""

    text: str
    words: tuple[str, ...]
    matched: frozenset[str]
    unmatched: frozenset[str]


class Style(NamedTuple):
    """What is left as it is written. The default is what instructions want."""

    escape: str = "\\"
    quotes_are_text: bool = False
    keep_quotes: bool = False
    keep_escapes: bool = False
    keep_unset: bool = False


_BODY = Style(quotes_are_text=True)


def expand(word: str, env: Mapping[str, str], style: Style | None = None) -> Expansion:
    """Expand `word`; raises DockerfileError without a span."""
    scanner = _Scanner(word, env, style or Style())
    try:
        pieces = scanner.until("", keep_escapes=scanner.style.keep_escapes)
    except Fault as fault:
        fault.near = fault.near or word
        raise
    return Expansion(_join(pieces), _split(pieces), frozenset(scanner.matched), frozenset(scanner.unmatched))


def process_word(word: str, env: Mapping[str, str], escape: str = "\\") -> str:
    """The value of `word`: one string, whatever blanks it holds."""
    return expand(word, env, Style(escape)).text


def process_words(word: str, env: Mapping[str, str], escape: str = "\\") -> list[str]:
    """The words of the value of `word`: blanks that came from variables separate too, unless quoted."""
    return list(expand(word, env, Style(escape)).words)


def process_body(body: str, env: Mapping[str, str]) -> str:
    """The content of an unquoted heredoc (1.5): its escape character is always the backslash."""
    return expand(body, env, _BODY).text


class _Piece(NamedTuple):
    text: str
    splits: bool


def _join(pieces: list[_Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def _split(pieces: list[_Piece]) -> tuple[str, ...]:
    words = [""]
    for piece in pieces:
        first, *others = BLANK_RUN.split(piece.text) if piece.splits else [piece.text]
        words[-1] += first
        words += others
    return tuple(word for word in words if word)


class _Scanner:
    """Reads one word from left to right. Nested words (`${a:-word}`) are read by the same scanner."""

    def __init__(self, text: str, env: Mapping[str, str], style: Style) -> None:
        self.text = text
        self.position = 0
        self.env = env
        self.style = style
        self.depth = 0
        self.matched: set[str] = set()
        self.unmatched: set[str] = set()

    def peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def take(self) -> str:
        character = self.peek()
        self.position += 1
        return character

    def until(self, stop: str, *, keep_escapes: bool) -> list[_Piece]:
        """Everything up to `stop`, which is consumed, or to the end if `stop` is empty."""
        pieces: list[_Piece] = []
        ordinary = _ordinary(self.style.escape, stop)
        while self.position < len(self.text):
            if stop and self.peek() == stop:
                self.position += 1
                return pieces
            pieces.append(self.piece(ordinary, keep_escapes))
        if stop:
            raise Fault(f"unexpected end of {self.text!r} while looking for '{stop}'")
        return pieces

    def piece(self, ordinary: re.Pattern[str], keep_escapes: bool) -> _Piece:
        if run := ordinary.match(self.text, self.position):
            self.position = run.end()
            return _Piece(run[0], splits=True)
        if self.peek() == "$":
            return _Piece(self.dollar(), splits=True)
        if self.peek() == self.style.escape:
            return _Piece(self.escaped(keep_escapes), splits=False)
        if self.peek() == "<":
            return self.less_than()
        if self.style.quotes_are_text:
            return _Piece(self.take(), splits=True)
        quoted = self.single_quoted() if self.peek() == "'" else self.double_quoted(keep_escapes)
        return _Piece(quoted, splits=False)

    def escaped(self, keep_escapes: bool) -> str:
        mark = self.take()
        return (mark if keep_escapes else "") + self.take()

    def less_than(self) -> _Piece:
        """The blanks of `<< WORD` belong to the heredoc word: it is found by splitting into words (1.5)."""
        operator = _HEREDOC_OPERATOR.match(self.text, self.position)
        text = operator[0] if operator else "<"
        self.position += len(text)
        return _Piece(text, splits=False)

    def single_quoted(self) -> str:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise Fault(f"single quote is not closed in {self.text!r}")
        quoted = self.text[self.position : end + 1]
        self.position = end + 1
        return quoted if self.style.keep_quotes else quoted[1:-1]

    def double_quoted(self, keep_escapes: bool) -> str:
        self.position += 1
        quote = '"' if self.style.keep_quotes else ""
        parts = [quote]
        ordinary = _ordinary_in_quotes(self.style.escape)
        while self.position < len(self.text):
            if run := ordinary.match(self.text, self.position):
                self.position = run.end()
                parts.append(run[0])
            elif self.peek() == '"':
                self.position += 1
                return "".join(parts) + quote
            else:
                parts.append(self.dollar() if self.peek() == "$" else self.escaped_in_quotes(keep_escapes))
        raise Fault(f"double quote is not closed in {self.text!r}")

    def escaped_in_quotes(self, keep_escapes: bool) -> str:
        """Between double quotes only `"`, `$` and the escape character itself can be escaped.

        Before anything else it is an ordinary character, which a pattern must see as an escaped one.
        """
        mark = self.take()
        if self.peek() in ('"', "$", mark):
            return (mark if keep_escapes else "") + self.take()
        return mark + mark if keep_escapes else mark

    def dollar(self) -> str:
        self.position += 1
        if self.peek() == "{":
            self.position += 1
            return self.nested()
        name = self.name()
        if not name:
            return "$"
        value = self.value(name)
        if value is None:
            return "$" + name if self.style.keep_unset else ""
        return value

    def nested(self) -> str:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Fault(f"variables are nested more than {_DEEPEST} deep", near="${")
        result = self.braces()
        self.depth -= 1
        return result

    def name(self) -> str:
        """The longest name here: letters, digits and `_`; or digits; or one special parameter; or ""."""
        match = _NAME.match(self.text, self.position)
        name = match[0] if match else ""
        if not name.isascii():
            # \w also has characters that are neither letter nor decimal digit: they end a name.
            name = name[: next((i for i, c in enumerate(name) if not _is_name_character(c)), len(name))]
        self.position += len(name)
        return name

    def value(self, name: str) -> str | None:
        value = self.env.get(name)
        (self.unmatched if value is None else self.matched).add(name)
        return value

    def braces(self) -> str:
        """What follows `${`, to its `}` and past it."""
        if self.peek() in ("{", "}", ":"):
            raise Fault(f"bad substitution in {self.text!r}", hint="a name is expected after '${'")
        name = self.name()
        modifier = self.take()
        if modifier == "}":
            value = self.value(name)
            return self.unset(name, "") if value is None else value
        if modifier == "":
            raise Fault(f"missing '}}' in {self.text!r}")
        if modifier == "/":
            return self.replaced(name)
        if modifier == ":":
            modifier += self.take()
        return self.modified(name, modifier)

    def modified(self, name: str, modifier: str) -> str:
        if modifier not in modifiers.KNOWN:
            raise Fault(
                f"unsupported modifier '{modifier}' in {self.text!r}",
                hint="known: :- - :+ + :? ? # ## % %% / //",
            )
        word = _join(self.until("}", keep_escapes=modifier in "#%"))
        value = self.value(name)
        if value is None and self.style.keep_unset:
            return self.unset(name, modifier + word)
        if modifier in "#%":
            return modifiers.strip(value or "", modifier, word)
        return modifiers.choose(name, modifier, word, value)

    def replaced(self, name: str) -> str:
        everywhere = self.peek() == "/"
        self.position += everywhere
        old = _join(self.until("/", keep_escapes=True))
        new = _join(self.until("}", keep_escapes=True))
        value = self.value(name)
        if value is None:
            return self.unset(name, f"/{'/' if everywhere else ''}{old}/{new}")
        return modifiers.replace(value, old, new, everywhere=everywhere)

    def unset(self, name: str, rest: str) -> str:
        return f"${{{name}{rest}}}" if self.style.keep_unset else ""


def _is_name_character(character: str) -> bool:
    return character == "_" or character.isalpha() or character.isdecimal()


def _ordinary(escape: str, stop: str) -> re.Pattern[str]:
    return _not_one_of("'\"$<" + escape + stop)


def _ordinary_in_quotes(escape: str) -> re.Pattern[str]:
    return _not_one_of('"$' + escape)


def _not_one_of(characters: str) -> re.Pattern[str]:
    found = _RUNS.get(characters)
    if found is None:
        found = _RUNS[characters] = re.compile(f"[^{re.escape(characters)}]+")
    return found


_RUNS: dict[str, re.Pattern[str]] = {}
