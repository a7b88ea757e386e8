"""registries.conf from text to value: what it may say, and what is wrong with what it may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import UsageError
from builder.registry.registries_conf import Conf, Mirror, Table, matched, merged, parse_conf, table_of

FULL = """
unqualified-search-registries = ["example.com"]
short-name-mode = "enforcing"
credential-helpers = ["containers-auth.json", "secretservice"]

[[registry]]
prefix = "example.com/foo"
location = "internal.example:5000/bar/"
insecure = true
blocked = false

[[registry.mirror]]
location = "one.example/foo"
[[registry.mirror]]
location = "two.example"
insecure = true
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "[::1]:5000"
pull-from-mirror = "tag-only"

[[registry]]
location = "registry.com"
mirror-by-digest-only = true
[[registry.mirror]]
location = "mirror.registry.com"

[[registry]]
prefix = "*.blocked.example"
blocked = true

[aliases]
"team/app" = "registry.com/team/app"
gone = ""
"""


def test_everything_that_the_manual_has_is_read() -> None:
    conf = parse_conf("f", FULL)

    one, two = Mirror("one.example/foo"), Mirror("two.example", insecure=True, by_tag=False)
    three = Mirror("[::1]:5000", by_digest=False)
    assert conf.tables == (
        Table("example.com/foo", "internal.example:5000/bar", True, False, (one, two, three), "f"),
        Table("registry.com", "", False, False, (Mirror("mirror.registry.com", by_tag=False),), "f"),
        Table("*.blocked.example", "", False, True, (), "f"),
    )
    assert conf.aliases == (("team/app", "registry.com/team/app"), ("gone", ""))
    assert conf.helpers == ("containers-auth.json", "secretservice")
    assert (conf.search, conf.searched_by) == (("example.com",), "f")


def test_an_empty_file_says_nothing() -> None:
    assert parse_conf("f", "# nothing\n") == Conf()


FAULTS = [
    ("x = 1", "unknown key 'x' in registries.conf", 1),
    ('\nunqualified-search-registry = ["a"]', "unknown key 'unqualified-search-registry' in registries.conf", 2),
    ("[registries.search]\nregistries = ['a']", "this is version 1 of the format", 1),
    ("[[registry]\n", "not TOML: expected ']]' at the end of an array declaration", 1),
    ("a = " + "[" * 100_000, "not TOML: nested too deeply", 1),
    ("a = 1" + "0" * 5000, "not TOML: ", 1),
    ("a = 2023-02-30", "not TOML: ", 1),
    ("a = 1\na = 2\n", "not TOML: cannot overwrite a value", 2),
    ("[[registry]]\ninsecure = true", "a [[registry]] has neither prefix nor location", 1),
    ("[[registry]]\nprefix='a.b'\nmirrors = []", "unknown key 'mirrors' in [[registry]]", 3),
    ("[[registry]]\nprefix='a.b'\ninsecure = 'yes'", "insecure is not true or false", 3),
    ("[[registry]]\nprefix = 1", "prefix is not a string", 2),
    ("[registry]\nprefix = 'a.b'", "registry is not a list", 1),
    ("registry = [1]", "registry is not a table", 1),
    ("[[registry]]\nlocation='https://a.b'", "location 'https://a.b' has a scheme", 2),
    ("[[registry]]\nprefix='*.a.b/c'", "prefix '*.a.b/c' is a wildcard with a path", 2),
    ("[[registry]]\nprefix='a.*.b'", "prefix 'a.*.b' is not HOST[:PORT][/PATH]", 2),
    ("[[registry]]\nprefix='a.b//c'", "prefix 'a.b//c' is not HOST[:PORT][/PATH]", 2),
    ("[[registry]]\nlocation='*.a.b'", "location '*.a.b' is not HOST[:PORT][/PATH]", 2),
    ("[[registry]]\nprefix='a.b'\n\n[[registry]]\nprefix='a.b'", "the prefix a.b is given twice", 2),
    ("[[registry]]\nprefix='a.b'\npull-from-mirror='all'", "pull-from-mirror belongs to a mirror", 3),
    ("[[registry]]\nprefix='a.b'\n[[registry.mirror]]\n", "a [[registry.mirror]] has no location", 3),
    ("[[registry]]\nprefix='a.b'\n[[registry.mirror]]\nlocation='c'\nblocked=true", "unknown key 'blocked' in", 5),
    (
        "[[registry]]\nprefix='a.b'\n[[registry.mirror]]\nlocation='c'\npull-from-mirror='never'",
        "pull-from-mirror is 'never'",
        5,
    ),
    (
        "[[registry]]\nprefix='a.b'\nmirror-by-digest-only=true\n"
        "[[registry.mirror]]\nlocation='c'\npull-from-mirror='all'",
        "mirror-by-digest-only and pull-from-mirror are both set",
        3,
    ),
    ("[aliases]\n'a.b/c' = 'd.e/f'", "'a.b/c' is not a short name", 2),
    ("[aliases]\n'a:1' = 'd.e/f'", "'a:1' is not a short name", 2),
    ("[aliases]\na = 'b'", "the alias a is 'b'", 2),
    ("[aliases]\na = 'b.c/d:1'", "the alias a is 'b.c/d:1'", 2),
    ("[aliases]\na = 1", "the alias a is not a string", 2),
    ("unqualified-search-registries = [1]", "unqualified-search-registries is not a list of names", 1),
    ("credential-helpers = 'x'", "credential-helpers is not a list", 1),
    ("credential-helpers = ['../x']", "credential-helpers is not a list of names", 1),
]


@pytest.mark.parametrize(("text", "message", "line"), FAULTS, ids=[message for _, message, _ in FAULTS])
def test_a_fault_is_told_with_file_and_line(text: str, message: str, line: int) -> None:
    with pytest.raises(UsageError) as caught:
        parse_conf("/etc/r.conf", text)

    assert caught.value.message.startswith(message)
    assert caught.value.span is not None
    assert (caught.value.span.file, caught.value.span.first) == ("/etc/r.conf", line)


def test_a_key_that_is_nearly_known_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        parse_conf("f", "[[registry]]\nprefix='a.b'\nblock = true")

    assert caught.value.hint == "did you mean blocked?"


WORDS = ["[[registry]]", "[[registry.mirror]]", "[aliases]", "prefix", "location", "insecure", "blocked", "mirror"]
PIECES = [*WORDS, "=", "\n", "'a.b'", "'*.b'", "'c'", "true", "1", "[]", "{}", ".", "credential-helpers", "é", "\x00"]


@pytest.mark.hypothesis
@given(st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join))
def test_any_text_is_a_configuration_or_a_fault_of_its_file(text: str) -> None:
    try:
        conf = parse_conf("f", text)
    except UsageError as error:
        assert error.span is not None
        assert 1 <= error.span.first <= text.count("\n") + 1
    else:
        assert all(table.prefix and table.file == "f" for table in conf.tables)


MATCHES = [
    ("a.b", "a.b/c:1", 3),
    ("a.b", "a.bc/d:1", 0),
    ("a.b", "a.b:5000/d:1", 3),
    ("a.b:5000", "a.b:5000/d:1", 8),
    ("a.b/c", "a.b/c/d:1", 5),
    ("a.b/c", "a.b/c:1", 5),
    ("a.b/c", "a.b/cd:1", 0),
    ("a.b/c:1", "a.b/c:1", 7),
    ("a.b/c:1", "a.b/c:11", 0),
    ("a.b/c", "a.b/c@sha256:0", 5),
    ("*.a.b", "x.a.b/c:1", 5),
    ("*.a.b", "x.y.a.b/c:1", 7),
    ("*.a.b", "x.a.b:5000/c:1", 5),
    ("*.a.b", "a.b/c:1", 0),
    ("*.a.b", "xa.b/c:1", 0),
    ("*.a.b", "c.d/x.a.b:1", 0),
    ("a.b/c", "A.B/c:1", 5),
    ("A.b", "a.B/c:1", 3),
    ("*.a.b", "X.A.B/c:1", 5),
    ("a.b/c:x", "a.b/c:X", 0),
]


@pytest.mark.parametrize(("prefix", "name", "length"), MATCHES)
def test_a_prefix_ends_where_a_part_of_the_name_ends(prefix: str, name: str, length: int) -> None:
    assert matched(prefix, name) == length


def test_the_longest_match_alone_counts() -> None:
    tables = tuple(Table(prefix) for prefix in ("a.b", "*.b", "a.b/team/app", "a.b/team"))
    conf = Conf(tables)

    assert table_of(conf, "a.b/team/app:1") == tables[2]
    assert table_of(conf, "a.b/team/other:1") == tables[3]
    assert table_of(conf, "a.b/other:1") == tables[0]
    assert table_of(conf, "c.b/other:1") == tables[1]
    assert table_of(conf, "c.d/other:1") is None
    assert table_of(Conf(), "c.d/other:1") is None


def test_later_files_win_table_by_table_and_alias_by_alias() -> None:
    first = Conf((Table("a.b", blocked=True), Table("c.d")), (("x", "a.b/x"), ("y", "a.b/y")), ("one",))
    second = Conf((Table("a.b"), Table("e.f")), (("x", ""), ("y", "c.d/y")))

    found = merged([first, second])

    assert found == Conf((Table("a.b"), Table("c.d"), Table("e.f")), (("y", "c.d/y"),), ("one",))
    assert merged([first, Conf(helpers=())]).helpers == ()
    one, two = Conf(search=("a.b",), searched_by="1"), Conf(search=(), searched_by="2")
    assert merged([one, two, Conf()]) == two
    assert merged([two, one]) == one
