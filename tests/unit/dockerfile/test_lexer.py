"""Lines to nodes: comments, continuations, line ends, heredoc bodies (dockerfile-language 1.1, 1.5)."""

from __future__ import annotations

import pytest

from builder.dockerfile.lexer import decode, read_nodes
from builder.dockerfile.nodes import Node
from builder.errors import DockerfileError


def nodes(text: str) -> list[Node]:
    return list(read_nodes(decode(text.encode("utf-8", "surrogateescape"), "D"), "D")[1])


def texts(text: str) -> list[str]:
    return [node.text for node in nodes(text)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("RUN a", ["RUN a"]),
        ("RUN a\n", ["RUN a"]),
        ("\n\n  RUN a  \n\n", ["RUN a"]),
        ("# comment\nRUN a # data", ["RUN a # data"]),
        ("  # indented comment\nRUN a", ["RUN a"]),
        ("\ufeffRUN a", ["RUN a"]),
        ("RUN a\r\nRUN b\r\n", ["RUN a", "RUN b"]),
        ("\x0cRUN a", ["RUN a"]),
        ("RUN a\x0cb\u2028c", ["RUN a\x0cb\u2028c"]),
        ("run\ta", ["run\ta"]),
    ],
)
def test_lines(source: str, expected: list[str]) -> None:
    """Blank lines and comments are nothing; only a newline, with carriage returns before it, ends a line."""
    assert texts(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("RUN a \\\n b", ["RUN a  b"]),
        ("RUN a\\\nb", ["RUN ab"]),
        ("RUN a \\ \t\nb", ["RUN a b"]),
        ("RUN a \\\r\n b\r\n", ["RUN a  b"]),
        ("RUN a\\\\\nRUN b", ["RUN a\\\\", "RUN b"]),
        ("RUN a\\\\\\\nRUN b", ["RUN a\\\\\\", "RUN b"]),
        ("RUN a \\", ["RUN a"]),
        ("RUN a \\\n", ["RUN a"]),
        ("RUN a \\\n# comment\nb", ["RUN a b"]),
        ("RUN a \\\n  # comment \\\n\n b", ["RUN a  b"]),
        ("RUN 'a \\\n# comment\nb'", ["RUN 'a b'"]),
        ("\\\nRUN a", ["RUN a"]),
        ("# comment \\\nRUN a", ["RUN a"]),
        ("\\\n", []),
        ("\\\n\\\n", []),
    ],
)
def test_continuation(source: str, expected: list[str]) -> None:
    """An unescaped escape character at the end joins lines; comments and blank lines between are dropped."""
    assert texts(source) == expected


def test_escape_directive_changes_continuation() -> None:
    assert texts("# escape=`\nRUN a\\ `\nb\\") == ["RUN a\\ b\\"]


def test_blank_lines_in_a_continuation_are_noted() -> None:
    """Their numbers are what the check NoEmptyContinuation reports."""
    node = nodes("RUN a \\\n\n# comment\n\n b")[0]

    assert node.text == "RUN a  b"
    assert node.blank_continuations == (2, 4)
    assert (node.span.first, node.span.last) == (1, 5)


def test_spans_count_every_line() -> None:
    found = nodes("\n# c\nFROM a\nRUN b \\\n c\n\nCOPY <<E /\n1\n2\nE\nRUN d")

    assert [(node.span.first, node.span.last) for node in found] == [(3, 3), (4, 5), (7, 10), (11, 11)]


@pytest.mark.parametrize(
    ("source", "comments"),
    [
        ("# a\n# b\nRUN x", ("a", "b")),
        ("# a\n\nRUN x", ()),
        ("# a\n#\n# b\nRUN x", ("b",)),
        ("RUN x \\\n# inside\ny", ()),
    ],
)
def test_comment_block_above(source: str, comments: tuple[str, ...]) -> None:
    """Only comments that touch the instruction belong to it, and an empty comment begins a new block."""
    assert nodes(source)[-1].comments == comments


def test_check_of_one_instruction() -> None:
    found = nodes("FROM a\n# check=skip=UndefinedVar,StageNameCasing\nRUN x\n# check=this is prose\nRUN y")

    assert found[1].check is not None
    assert found[1].check.skip == ("UndefinedVar", "StageNameCasing")
    assert found[2].check is None


def test_heredoc_bodies_are_exact() -> None:
    """Carriage returns, comments, continuations and bytes that are not UTF-8 stay as they are."""
    node = nodes("RUN cat <<A <<-'B'\r\n# x\\\r\n\udcff\n A\nA\n\ty\n\tB\n")[0]

    assert [doc.body for doc in node.heredocs] == ["# x\\\r\n\udcff\n A\n", "\ty\n"]
    assert node.heredocs[1].content == "y\n"
    assert node.heredocs[0].body.encode("utf-8", "surrogateescape") == b"# x\\\r\n\xff\n A\n"


@pytest.mark.parametrize(
    "source",
    [
        "CMD cat <<EOF",
        'RUN ["cat", "<<EOF"]',
        "RUN cat <<<EOF",
        'RUN cat "<<EOF"',
        "ENV a=<<EOF",
        "ONBUILD CMD <<EOF",
        "ONBUILD ONBUILD RUN <<EOF",
        "RUN echo it's <<EOF",
    ],
)
def test_no_heredoc(source: str) -> None:
    """Other instructions, JSON, quoted words and lines that are no words announce nothing."""
    assert nodes(source)[0].heredocs == ()


def test_onbuild_may_hold_a_heredoc() -> None:
    assert nodes("ONBUILD RUN <<E\nx\nE")[0].heredocs[0].body == "x\n"


@pytest.mark.parametrize("source", ["RUN <<EOF", "RUN <<EOF\nEOF ", "RUN <<A <<B\nA", "RUN <<-E\n E"])
def test_unterminated_heredoc(source: str) -> None:
    with pytest.raises(DockerfileError, match="unterminated heredoc") as caught:
        nodes("FROM a\n" + source)

    assert caught.value.span is not None
    assert caught.value.span.first == 2


@pytest.mark.parametrize("source", ["RUN <<'EOF", 'RUN <<EO"F\nEOF'])
def test_open_quote_makes_no_heredoc_of_a_line(source: str) -> None:
    """The line does not split into words, so that it is left to the shell."""
    assert nodes(source)[0].heredocs == ()


def test_line_length_limit() -> None:
    """65,535 bytes are a line, one more is not."""
    assert len(texts("RUN " + "x" * 65531)) == 1

    with pytest.raises(DockerfileError, match="D:2: line is longer than 65535 bytes"):
        nodes("FROM a\nRUN " + "x" * 65532)


@pytest.mark.parametrize(
    ("source", "flags", "rest"),
    [
        ("RUN --a --b=c d --e", ("--a", "--b=c"), "d --e"),
        ("RUN --a=\"x y\" --b='z w' c", ("--a=x y", "--b=z w"), "c"),
        ("RUN --a=x\\ y c", ("--a=x y",), "c"),
        ('RUN --a="x\\"y" c', ('--a=x"y',), "c"),
        ("RUN -- --a", (), "--a"),
        ("RUN --a -- [x]", ("--a",), "[x]"),
        ("RUN --a", ("--a",), ""),
        ("RUN --a='x", ("--a=x",), ""),
        ("RUN - --a", (), "- --a"),
        ("RUN", (), ""),
    ],
)
def test_flags(source: str, flags: tuple[str, ...], rest: str) -> None:
    """Flags come first, lose their quotes and escapes, and end at `--` or at the first other word."""
    node = nodes(source)[0]

    assert node.flags == flags
    assert node.rest == rest
