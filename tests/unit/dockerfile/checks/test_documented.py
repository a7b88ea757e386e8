"""docs/checks.md has a heading for each rule and trap, and for nothing else."""

from __future__ import annotations

from builder.dockerfile.checks.rules import DESCRIPTIONS
from builder.dockerfile.checks.traps import TRAPS
from tests.support.tools import ROOT


def test_each_rule_and_trap_is_documented_once() -> None:
    lines = (ROOT / "docs" / "checks.md").read_text().splitlines()
    headings = [line.removeprefix("### ") for line in lines if line.startswith("### ")]
    assert headings == [*DESCRIPTIONS, *sorted(TRAPS)]


def test_each_says_how_to_silence_it() -> None:
    text = (ROOT / "docs" / "checks.md").read_text()
    for name in [*DESCRIPTIONS, *TRAPS]:
        kind = "experimental" if name == "InvalidDefinitionDescription" else "skip"
        assert f"`# check={kind}={name}`" in text
