"""The printed tree, and the golden files of tests/golden/parse: NAME/Dockerfile with expected.txt or error.txt."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.dockerfile.parser import parse
from builder.dockerfile.text import dump, quote
from builder.errors import DockerfileError
from tests.support import golden

CASES = sorted(path.parent for path in (golden.ROOT / "parse").glob("*/Dockerfile"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_golden(case: Path) -> None:
    """A Dockerfile has one printed tree, or one error with its hint."""
    try:
        name, text = "expected.txt", dump(parse((case / "Dockerfile").read_bytes(), "Dockerfile"))
    except DockerfileError as error:
        name, text = "error.txt", f"{error}\n" + (f"hint: {error.hint}\n" if error.hint else "")

    assert os.environ.get("RBUILD_UPDATE_GOLDEN") or {path.name for path in case.iterdir()} == {"Dockerfile", name}
    golden.check(f"parse/{case.name}/{name}", text)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a b", '"a b"'),
        ('"\\', '"\\"\\\\"'),
        ("\n\t\r\x00\x7f\x85", '"\\n\\t\\r\\x00\\x7f\\x85"'),
        ("é♥\u2028", '"é♥\\u2028"'),
        ("\udcff", '"\\xff"'),
    ],
)
def test_quote(text: str, quoted: str) -> None:
    """One line, whatever is in it."""
    assert quote(text) == quoted


def test_unpack_false_is_printed() -> None:
    """`--unpack=false` differs from no flag, which leaves the choice to the kind of source."""
    trees = {dump(parse(f"FROM a\nADD {flag} x /\n".encode(), "D")) for flag in ("", "--unpack=false", "--unpack")}

    assert len(trees) == 3


def test_bytes_that_are_not_utf8_are_printed() -> None:
    tree = dump(parse(b"FROM a\nENV a\xff=b\nCOPY <<\xfe /\n\xfe\n", "D"))

    assert '  a\\xff="b"\n' in tree
    assert "  <<\\xfe\n" in tree
