"""Variable expansion, form by form (dockerfile-language 1.3)."""

from __future__ import annotations

import pytest

from builder.dockerfile.words import Style, expand, process_body, process_word, process_words
from builder.errors import DockerfileError

ENV = {"v": "value", "empty": "", "path": "/a/b/c.tar.gz", "stars": "a*b?c\\d", "two": "x  y", "ä1": "umlaut"}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$v", "value"),
        ("${v}", "value"),
        ("$vx", ""),
        ("${v}x", "valuex"),
        ("$v.x", "value.x"),
        ("$ä1-", "umlaut-"),
        ("$v²", "value²"),
        ("$unset", ""),
        ("$", "$"),
        ("a$", "a$"),
        ("$.$ $%", "$.$ $%"),
        ("$1x$99$@$*$#$?$-$$$!$0", "x"),
        ("${1}${@}x", "x"),
        ("${v}}", "value}"),
        ("<", "<"),
        ("a << b", "a << b"),
    ],
)
def test_names(word: str, value: str) -> None:
    assert process_word(word, ENV) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("${v:-w}${empty:-w}${unset:-w}", "valueww"),
        ("${v-w}${empty-w}${unset-w}", "valuew"),
        ("${v:+w}${empty:+w}${unset:+w}", "w"),
        ("${v+w}${empty+w}${unset+w}", "ww"),
        ("${v:?no}${v?no}${empty?no}", "valuevalue"),
        ("${unset:-${empty:-$v}}", "value"),
        ("${unset:-'$v'\"$v\"}", "$vvalue"),
        ("${unset:-a\\}b}", "a}b"),
        ("${unset:-}", ""),
    ],
)
def test_defaults(word: str, value: str) -> None:
    assert process_word(word, ENV) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("${path#*/}", "a/b/c.tar.gz"),
        ("${path##*/}", "c.tar.gz"),
        ("${path%.*}", "/a/b/c.tar"),
        ("${path%%.*}", "/a/b/c"),
        ("${path#?a}", "/b/c.tar.gz"),
        ("${path#x}${path%x}", "/a/b/c.tar.gz/a/b/c.tar.gz"),
        ("${path##*}|${path%%*}", "|"),
        ("${path#}${unset#a}", "/a/b/c.tar.gz"),
        ("${stars#a\\*}", "b?c\\d"),
        ("${stars##*\\?}", "c\\d"),
        ("${stars%\\\\d}", "a*b?c"),
        ("${path/\\//_}", "_a/b/c.tar.gz"),
        ("${path//\\//_}", "_a_b_c.tar.gz"),
        ("${path/[abc]/_}", "/a/b/c.tar.gz"),
        ("${v/a*/_}", "v_"),
        ("${v//?/_}", "_____"),
        ("${v//*/_}", "_"),
        ("${v//l/$v}", "vavalueue"),
        ("${v//x/y}${unset//x/y}${empty/x/y}", "value"),
        ("${v//l/\\1}", "va\\1ue"),
    ],
)
def test_patterns(word: str, value: str) -> None:
    assert process_word(word, ENV) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("'$v'", "$v"),
        ("'a\\'", "a\\"),
        ('"$v"', "value"),
        ("\"'$v'\"", "'value'"),
        ("\\$v", "$v"),
        ('"\\$v"', "$v"),
        ('"a\\tb"', "a\\tb"),
        ("a\\tb", "atb"),
        ('"\\"\\\\"', '"\\'),
        ("\\\\$v", "\\value"),
        ("a\\", "a"),
        ("a''b\"\"", "ab"),
        ('"${unset:-"x y"}"', "x y"),
    ],
)
def test_quotes(word: str, value: str) -> None:
    assert process_word(word, ENV) == value


def test_escape_character_is_the_file_s() -> None:
    assert process_word("C:\\x`$v", ENV, "`") == "C:\\x$v"
    assert process_word('"C:\\x`$v"', ENV, "`") == "C:\\x$v"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("'a", "single quote is not closed"),
        ('"a', "double quote is not closed"),
        ('"a\\"', "double quote is not closed"),
        ("${v", "missing '}'"),
        ("${", "missing '}'"),
        ("${}", "bad substitution"),
        ("${:x}", "bad substitution"),
        ("${{v}", "bad substitution"),
        ("${v:-x", "while looking for '}'"),
        ("${v:=w}", "unsupported modifier ':='"),
        ("${v=w}", "unsupported modifier '='"),
        ("${v:x}", "unsupported modifier ':x'"),
        ("${v:#x}", "unsupported modifier ':#'"),
        ("${v:%x}", "unsupported modifier ':%'"),
        ("${.}", "unsupported modifier '.'"),
        ("${v//x}", "while looking for '/'"),
        ("${v/x", "while looking for '/'"),
        ("${v/x/y", "while looking for '}'"),
        ("${v#\\a}", "invalid escape '\\a'"),
        ("${unset?}", "unset: is not allowed to be unset"),
        ("${unset:?}", "unset: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${empty:?say $v}", "empty: say value"),
    ],
)
def test_errors(word: str, message: str) -> None:
    """A cause and the word at fault, and no place: that is the caller's to know."""
    with pytest.raises(DockerfileError) as caught:
        process_word(word, ENV)

    assert message in caught.value.message
    assert caught.value.span is None


def test_names_that_were_looked_up() -> None:
    found = expand("$v ${unset:-$other} '$quoted' ${empty:+$never}", ENV)

    assert found.matched == {"v", "empty"}
    assert found.unmatched == {"unset", "other", "never"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$two", ["x", "y"]),
        ('"$two"', ["x  y"]),
        ("a${two}b", ["ax", "yb"]),
        ("$empty", []),
        ("''", []),
        ("a\\ b c", ["a b", "c"]),
        ("'a b'c", ["a bc"]),
    ],
)
def test_splitting(text: str, words: list[str]) -> None:
    """Blanks separate after expansion, unless quoted or escaped; empty words vanish."""
    assert process_words(text, ENV) == words


@pytest.mark.parametrize(
    ("body", "content"),
    [
        ("$v\n", "value\n"),
        ("\"$v\" '$v'\n", "\"value\" 'value'\n"),
        ("it's\n", "it's\n"),
        ("\\$v \\\\ \\x\n", "$v \\ x\n"),
        ("a\\\nb\n", "a\nb\n"),
        ("${unset:-d}$unset\n", "d\n"),
    ],
)
def test_heredoc_body(body: str, content: str) -> None:
    """Quotes are text and the backslash always escapes (1.5)."""
    assert process_body(body, ENV) == content


def test_as_written() -> None:
    """What finds heredocs must see the words of the line and nothing else."""
    style = Style(keep_quotes=True, keep_escapes=True, keep_unset=True)

    line = "a'b'\"c$d\" \\e ${f:-g} ${h} ${i/j/k} << 'L'"

    assert expand(line, {}, style).words == ("a'b'\"c$d\"", "\\e", "${f:-g}", "${h}", "${i/j/k}", "<< 'L'")


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(DockerfileError, match="nested more than"):
        process_word("${a:-" * 5000 + "}" * 5000, {})
    with pytest.raises(DockerfileError, match="nested more than"):
        process_word('"${a:-' * 5000, {})


def test_wild_pattern_takes_linear_time() -> None:
    """Thirty stars over text that almost matches would take forever if each could be tried anywhere."""
    assert process_word("${a#" + "*a" * 30 + "b}", {"a": "a" * 20_000}) == "a" * 20_000
    assert process_word("${a%" + "b" + "a*" * 30 + "}", {"a": "a" * 20_000}) == "a" * 20_000
