"""Argument forms (dockerfile-language 1.4, 1.10)."""

from __future__ import annotations

import pytest

from builder.dockerfile.arguments import json_array, json_or_list, key_values, split_words
from builder.errors import DockerfileError


@pytest.mark.parametrize(
    ("text", "array"),
    [
        ('["a", "b c"]', ("a", "b c")),
        ("[]", ()),
        ('["é", "\\u00e9", "\\n"]', ("é", "é", "\n")),
        ('["\\ud800", "\udcff"]', ("\ufffd", "\ufffd")),
        ("['a']", None),
        ('["a",]', None),
        ('["a"', None),
        ('["a"] b', None),
        ('["\\d"]', None),
        ("[NaN]", None),
        ("[ -f x ] && y", None),
        ('"a"', None),
        ("", None),
        ("[" * 100_000, None),
    ],
)
def test_json_array(text: str, array: tuple[str, ...] | None) -> None:
    """What is no JSON array is no error: it is another form."""
    assert json_array(text) == array


@pytest.mark.parametrize("text", ["[1]", '["a", ["b"]]', "[null]", '[{"a": "b"}]', "[true]"])
def test_json_array_of_other_things(text: str) -> None:
    with pytest.raises(DockerfileError, match="strings only"):
        json_array(text)


def test_list_knows_no_quotes() -> None:
    assert json_or_list("a\\ b 'c d'\te") == ("a\\", "b", "'c", "d'", "e")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", ["a", "b"]),
        ("a=\"b c\" d='e f'", ['a="b c"', "d='e f'"]),
        ("a\\ b c", ["a\\ b", "c"]),
        ("a'b\\' c", ["a'b\\'", "c"]),
        ("'' b", ["''", "b"]),
        ('"a b', ['"a b']),
        ("a\\", ["a"]),
        ("a\\\\", ["a\\\\"]),
        ("", []),
        ("a\x1cb", ["a\x1cb"]),
    ],
)
def test_split_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("text", "pairs", "legacy"),
    [
        ("a=b", (("a", "b"),), False),
        ("a=b c=\"d e\" f='g'", (("a", "b"), ("c", '"d e"'), ("f", "'g'")), False),
        ("a=b=c d=", (("a", "b=c"), ("d", "")), False),
        ("a b", (("a", "b"),), True),
        ("a b=c 'd", (("a", "b=c 'd"),), True),
        ('"a b"=c', (('"a b"', "c"),), False),
    ],
)
def test_key_values(text: str, pairs: tuple[tuple[str, str], ...], legacy: bool) -> None:
    """The first word decides on the form: with an equals sign, every word must have one."""
    assert key_values(text, "ENV", "\\") == (pairs, legacy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ENV requires at least one argument"),
        ("a", "ENV must have two arguments"),
        ("a=b c", "can't find = in 'c'"),
        ("=b", "ENV names can not be blank"),
        ("a=b =c", "ENV names can not be blank"),
    ],
)
def test_key_value_errors(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        key_values(text, "ENV", "\\")

    assert caught.value.message == message
