"""rows.txt names the cases that hold each rule of the language, and leaves none of them out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES = {path.parent.name for path in HERE.glob("cases/*/Dockerfile")}
ROWS = [line for line in (HERE / "rows.txt").read_text().splitlines() if line and not line.startswith("#")]


def named(row: str) -> list[str]:
    return row.rpartition(": ")[2].split()


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_held_by_cases_that_exist(row: str) -> None:
    assert row.count(": ") >= 1
    assert [name for name in named(row) if not any(fnmatchcase(case, name) for case in CASES)] == []


def test_every_case_holds_a_row() -> None:
    names = [name for row in ROWS for name in named(row)]

    assert {case for case in CASES if not any(fnmatchcase(case, name) for name in names)} == set()
