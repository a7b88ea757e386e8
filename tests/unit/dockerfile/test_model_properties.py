"""What has a plain model: words, symbolic modes, git references, Dockerfiles made by a grammar."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.dockerfile.gitref import parse_gitref
from builder.dockerfile.parser import parse
from builder.dockerfile.words import process_word
from builder.errors import BuildError, DockerfileError
from builder.executor.chmod import Mode
from tests.oracle import modes, words

NAMES = st.sampled_from("vwx")
VALUES = st.text(st.sampled_from("ab*?/c"), max_size=6)
TOKENS = st.sampled_from(["*", "?", "a", "b", "c", "\\*", "\\?"])
SOLID = st.lists(TOKENS, min_size=1, max_size=4).filter(lambda tokens: set(tokens) != {"*"})
OPERATORS = st.sampled_from([":-", "-", ":+", "+", ":?", "?"])
STRIPS = st.sampled_from(["#", "##", "%", "%%"])
PLAIN = st.tuples(st.just("plain"), st.sampled_from(["a", "b", "=", ",", ".", "é", "$ ", "$/"]))
VARIABLES = st.one_of(
    st.tuples(st.just("bare"), NAMES),
    st.tuples(st.just("braces"), NAMES),
    st.tuples(
        st.just("strip"), NAMES, st.sampled_from(["#", "##", "%", "%%"]), st.lists(TOKENS, min_size=1, max_size=4)
    ),
)


def nested(inner: st.SearchStrategy[words.Node]) -> st.SearchStrategy[words.Node]:
    several = st.lists(inner, max_size=3)
    return st.one_of(
        st.tuples(st.just("default"), NAMES, OPERATORS, several),
        st.tuples(st.just("replace"), NAMES, st.sampled_from(["/", "//"]), SOLID, st.lists(PLAIN_PART, max_size=2)),
    )


PLAIN_PART = st.tuples(st.just("plain"), st.sampled_from(["a", "z", "."]))
QUOTED = st.one_of(
    st.tuples(st.just("escaped"), st.sampled_from(["a", "$", '"', "'", "\\", "}", " "])),
    st.tuples(st.just("single"), st.text(st.sampled_from('a$\\"} {'), max_size=4)),
    st.tuples(st.just("double"), st.lists(st.one_of(PLAIN_PART, VARIABLES), max_size=3)),
)
NODES = st.recursive(st.one_of(PLAIN, QUOTED, VARIABLES), nested, max_leaves=8)


@given(st.lists(NODES, max_size=5), st.dictionaries(NAMES, VALUES))
def test_words_mean_what_their_trees_mean(nodes: list[words.Node], env: dict[str, str]) -> None:
    text = words.written(nodes)
    try:
        expected = words.value(nodes, env)
    except words.Refused as refused:
        with pytest.raises(DockerfileError, match=f"{refused}: "):
            process_word(text, env)
    else:
        assert process_word(text, env) == expected


ACTIONS = st.tuples(
    st.sampled_from("+-="), st.one_of(st.text(st.sampled_from("rwxX"), max_size=3), st.sampled_from("ugo"))
)
CLAUSES = st.tuples(st.text(st.sampled_from("ugoa"), max_size=2), st.lists(ACTIONS, min_size=1, max_size=2))


@given(st.lists(CLAUSES, min_size=1, max_size=3), st.integers(0, 0o777), st.booleans())
def test_modes_change_bit_by_bit(clauses: list[modes.Clause], bits: int, is_dir: bool) -> None:
    assert Mode(modes.written(clauses)).apply(bits, is_dir) == modes.applied(clauses, bits, is_dir)


@given(st.one_of(st.text(), st.text(st.sampled_from("0123456789ugoa+-=rwxXst,"), max_size=12)))
def test_modes_fail_only_as_build_errors(text: str) -> None:
    try:
        changed = Mode(text).apply(0o644, is_dir=False)
    except BuildError:
        return
    assert 0 <= changed <= 0o7777


PATHS = st.from_regex(r"\A[a-z]{1,5}(/[a-z0-9]{1,5}){0,2}\Z")
REFS = st.none() | st.from_regex(r"\A[a-z][a-z0-9/.-]{0,8}\Z")


@given(
    st.sampled_from(["https://host.example/", "ssh://git@host/", "git://host/", "git@host:"]),
    PATHS,
    REFS,
    st.none() | PATHS,
)
def test_git_references_are_read_as_written(start: str, path: str, ref: str | None, subdir: str | None) -> None:
    fragment = "" if ref is None and subdir is None else f"#{ref or ''}" + (f":{subdir}" if subdir else "")
    found = parse_gitref(f"{start}{path}.git{fragment}")

    assert found is not None
    assert (found.remote, found.ref or None, found.subdir or None) == (f"{start}{path}.git", ref, subdir)


@given(
    st.text()
    | st.lists(st.sampled_from(["https://", "git@h:", "a.git", "?", "#", "ref=", "&", "tag=v", ":", "/", "%"])).map(
        "".join
    )
)
def test_git_references_fail_only_as_faults(text: str) -> None:
    try:
        found = parse_gitref(text)
    except DockerfileError:
        return
    assert found is None or found.remote


WORD = st.sampled_from(
    ["a", "/b", "$v", "${v:-x}", "'q q'", '"d"', "1", "80/tcp", "é", "=", "", "a=b", "*", "${", "<<E"]
)
SEVERAL = st.lists(WORD, max_size=4).map(" ".join)
FLAGS = st.sampled_from(
    ["", "--from=a ", "--mount=type=cache,target=/c ", "--chmod=u+x ", "--link ", "--no=1 ", "--interval=1s "]
)
COMMANDS = st.sampled_from(
    [
        *("FROM", "RUN", "COPY", "ADD", "ENV", "ARG", "LABEL", "USER", "WORKDIR", "EXPOSE", "VOLUME", "CMD"),
        *("ENTRYPOINT", "SHELL", "STOPSIGNAL", "HEALTHCHECK", "ONBUILD", "MAINTAINER", "from", "Env", "COPPY"),
    ]
)
JSON = st.lists(st.text(max_size=3)).map(json.dumps)
BREAKS = st.sampled_from([" ", " \\\n ", " \\\n# note\n ", "\t"])
INSTRUCTIONS = st.builds(lambda *parts: "".join(parts), COMMANDS, BREAKS, FLAGS, st.one_of(SEVERAL, JSON))


@given(st.lists(INSTRUCTIONS, max_size=8))
def test_files_of_the_grammar_fail_only_with_file_and_line(lines: list[str]) -> None:
    source = "\n".join(["FROM scratch AS a", *lines, ""])
    try:
        tree = parse(source.encode(), "dir/Dockerfile")
    except DockerfileError as error:
        assert error.span is not None
        assert error.span.file == "dir/Dockerfile"
        assert 1 <= error.span.first <= source.count("\n") + 1
    else:
        assert len(tree.instructions) >= 1
