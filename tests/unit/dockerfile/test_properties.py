"""What must hold for every input."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from builder.dockerfile.ignore import Ignore, parse_ignore
from builder.dockerfile.parser import parse
from builder.dockerfile.text import dump
from builder.dockerfile.words import process_word, process_words
from builder.errors import DockerfileError

PIECES = st.sampled_from(
    [
        *("FROM", "RUN", "COPY", "ADD", "ENV", "ARG", "ONBUILD", "HEALTHCHECK", "CMD", "VOLUME", "LABEL", "SHELL"),
        *("FROM scratch\n", "\n", "\r\n", " ", "\t", "\\", "\\\n", "`", "#", "# escape=`\n", "# check=", "\ufeff"),
        *("--mount=", "--from=", "--chown=", "--device=", "--", "type=cache,target=/a", "required", ",", "="),
        *("<<", "<<-", "EOF", "\nEOF\n", "'", '"', "$", "${", "}", ":-", "#", "%", "/", "//", "*", "?", "[", "]"),
        *("a", "b c", '["a"]', "AS", "NONE", "=", "é", "\x00", "\x1c", "\x85", "\u2028", "x" * 40),
    ]
)
SOURCES = st.one_of(st.binary(), st.text().map(str.encode), st.lists(PIECES, max_size=30).map("".join).map(str.encode))


@given(SOURCES, st.booleans())
@example(b"FROM a\nRUN " + b"${a:-" * 4000 + b" <<E\nE", False)
@example(b"FROM a\nCMD " + b"[" * 40000, False)
@example(b"FROM a\nHEALTHCHECK --retries=\xd9\xa3 CMD x", False)
@example(b"FROM a\nADD --checksum=x\n", False)
@example(b"FROM a\nHEALTHCHECK \x1c\n", False)
@example(b"FROM a\nARG \xff\nLABEL \x85 a\nCOPY <<\xff /x\n\xff\n", False)
def test_parse_fails_only_with_a_place(source: bytes, begun: bool) -> None:
    """No bytes make the parser raise anything but a DockerfileError that names a line of the file."""
    source = b"FROM scratch\n" + source if begun else source
    try:
        tree = parse(source, "D")
    except DockerfileError as error:
        assert error.span is not None
        assert 1 <= error.span.first <= error.span.last <= source.count(b"\n") + 1
    else:
        assert dump(tree) == dump(parse(source, "D"))
        assert dump(tree).encode()


@given(SOURCES)
def test_spans_are_in_order(source: bytes) -> None:
    try:
        instructions = parse(b"FROM scratch\n" + source, "D").instructions
    except DockerfileError:
        return

    lines = [line for instruction in instructions for line in (instruction.span.first, instruction.span.last)]
    assert lines == sorted(lines)


@given(st.lists(PIECES, max_size=20).map("".join), st.dictionaries(st.sampled_from("abx"), st.text()))
def test_expansion_fails_only_as_a_fault(word: str, env: dict[str, str]) -> None:
    try:
        value = process_word(word, env)
        words = process_words(word, env)
    except DockerfileError:
        return

    assert len("".join(words)) <= len(value)


NAMES = st.sampled_from(["a", "b", "Long_1"])
PLAIN = st.text(st.sampled_from("xyz .:/=-"), max_size=5)
REFERENCES = st.one_of(
    st.tuples(st.just("plain"), PLAIN, PLAIN),
    *(st.tuples(st.just(form), NAMES, PLAIN) for form in ("$", "{}", ":-", "-", ":+", "+", "'", '"')),
)


@given(st.lists(REFERENCES), st.dictionaries(NAMES, st.text(max_size=5)))
def test_simple_forms_against_a_model(parts: list[tuple[str, str, str]], env: dict[str, str]) -> None:
    """Each simple form, by itself and beside others, is what a table of their meanings says."""
    word = "".join(_written(*part) for part in parts)

    assert process_word(word, env) == "".join(_meant(*part, env) for part in parts)


def _written(form: str, name: str, text: str) -> str:
    match form:
        case "plain":
            return name
        case "$":
            return f"${name}/"
        case "{}":
            return f"${{{name}}}"
        case "'":
            return f"'${name}{text}'"
        case '"':
            return f'"${{{name}}}{text}"'
        case _:
            return f"${{{name}{form}{text}}}"


def _meant(form: str, name: str, text: str, env: dict[str, str]) -> str:
    value = env.get(name, "")
    return {
        "plain": name,
        "$": f"{value}/",
        "{}": value,
        "'": f"${name}{text}",
        '"': f"{value}{text}",
        ":-": value or text,
        "-": env.get(name, text),
        ":+": text if value else "",
        "+": text if name in env else "",
    }[form]


PATTERNS = st.text(st.sampled_from("ab*?/.![]\\-^ "), max_size=8)
PATHS = st.lists(st.text(st.sampled_from("ab.!"), min_size=1, max_size=3), min_size=1, max_size=4)


@given(st.lists(PATTERNS, max_size=5), PATHS)
def test_pruning_never_hides_what_is_included(patterns: list[str], parts: list[str]) -> None:
    """If a path is not excluded but a directory above it is, then that directory is looked into."""
    try:
        ignore = Ignore(patterns)
    except DockerfileError:
        return

    if ignore.excluded("/".join(parts)):
        return
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
    assert all(not ignore.excluded(path) or ignore.may_contain_included(path) for path in above)


@given(st.text())
def test_ignore_files_fail_only_with_a_place(text: str) -> None:
    try:
        parse_ignore(text, "i")
    except DockerfileError as error:
        assert error.span is not None
        assert 1 <= error.span.first <= text.count("\n") + 1
