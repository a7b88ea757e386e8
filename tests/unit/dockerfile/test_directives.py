"""Parser directives (dockerfile-language 1.2)."""

from __future__ import annotations

import pytest

from builder.dockerfile.directives import check_of_comment, parse_check, read_directives
from builder.dockerfile.nodes import Check, Directives
from builder.errors import DockerfileError


def read(text: str) -> Directives:
    return read_directives(text.split("\n"), "D")[0]


@pytest.mark.parametrize("line", ["# escape=`", "#escape=`", "#  ESCAPE \t=\t ` ", "  # escape=`"])
def test_form(line: str) -> None:
    """Blanks around key and value do not matter, nor does the case of the key."""
    assert read(f"{line}\nFROM a").escape == "`"


def test_all_three() -> None:
    found = read("# syntax=docker/dockerfile:1 arg\n# escape=`\n# check=skip=all;error=true\nFROM a")

    assert found == Directives("`", "docker/dockerfile:1 arg", Check(skip_all=True, error=True))


@pytest.mark.parametrize("first", ["# a comment", "", "# unknown=x", "FROM a", "#", "# escape"])
def test_anything_else_ends_directives(first: str) -> None:
    assert read(f"{first}\n# escape=`\n# syntax=x") == Directives()


def test_below_a_shebang_only_the_detectors_look() -> None:
    assert read("#!/usr/bin/env docker\n# syntax=x\n# escape=`\n# check=skip=A") == Directives(
        "\\", "x", Check(skip=("A",))
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# escape=`\n# escape=\\", "D:2:3: only one escape parser directive can be used"),
        ("# syntax=a\n# Syntax=b", "D:2: only one syntax parser directive can be used"),
        ("# escape=x", "D:1:10: invalid escape token 'x'"),
        ("# escape=``", "D:1:10: invalid escape token '``'"),
        ("# syntax=x\n# check=skipp=A", "D:2:9: invalid check option 'skipp'"),
        ("# check=skip", "D:1:9: invalid check option 'skip'"),
        ("# check=error=maybe", "D:1:15: invalid check option error='maybe'"),
        ("# check=skip=a;skip=b", "D:1:16: check option 'skip' is given twice"),
        ("# check=skip=a;error=1;experimental=b;x=y", "D:1:39: invalid check option 'x'"),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        read(text)

    assert str(caught.value).startswith(message)


def test_check_of_a_file() -> None:
    assert parse_check("skip=A, B;error=true;experimental=all") == Check(("A", "B"), False, True, (), True)


@pytest.mark.parametrize("comment", ["check", "check=", "check=ok", "check = all good", "other=skip=A"])
def test_prose_above_an_instruction_is_prose(comment: str) -> None:
    assert check_of_comment(comment) is None
