"""The traps of --strict that the text tells: where each fires, and where it only nearly would."""

from __future__ import annotations

import pytest

from builder.dockerfile.checks.check import check, fails
from builder.dockerfile.checks.matter import Matter
from builder.dockerfile.checks.rules import Finding
from builder.dockerfile.checks.traps import TRAPS, error
from builder.dockerfile.parser import parse
from builder.oci.config import ImageConfig
from builder.oci.platform import parse_platform

BASE = ImageConfig(os="linux", architecture="amd64", env=(("PATH", "/bin"), ("VERSION", "1")))


def matter(args: dict[str, str] | None = None) -> Matter:
    platform = parse_platform("linux/amd64")
    return Matter(args or {}, platform, lambda name, platform, span: BASE, secrets=frozenset({"given"}))


def traps(text: str, args: dict[str, str] | None = None, *, strict: bool = True) -> list[Finding]:
    found = check(parse(text.encode(), "Dockerfile"), None, matter(args), strict=strict)
    return [each for each in found if each.rule in TRAPS]


FIRES = [
    ("ArgOverridesEnv", "FROM b\nENV A=1\nARG A=2", 3),
    ("ArgOverridesEnv", "FROM b\nARG VERSION=2", 2),
    ("ArgOverridesEnv", "ARG A=3\nFROM b\nENV A=1\nARG A", 4),
    ("ArgOverridesEnv", "FROM b AS x\nENV A=1\nFROM x\nARG A=2", 4),
    ("CacheMountClash", "FROM b\nRUN --mount=type=cache,target=/c a\nRUN --mount=type=cache,target=/c,uid=3 b", 3),
    (
        "CacheMountClash",
        "FROM b\nRUN --mount=type=cache,id=i,target=/c --mount=type=cache,id=i,target=/d,mode=700 a",
        2,
    ),
    ("HeredocWithoutErrexit", "FROM b\nRUN <<E\na\nb\nE", 2),
    ("HeredocWithoutErrexit", "FROM b\nRUN <<E\na\nset -e\nb\nE", 2),
    ("HeredocWithoutErrexit", "FROM b\nRUN <<E\n#!/bin/sh\na\nb\nE", 2),
    ("HeredocWithoutErrexit", "FROM b\nRUN <<E\n#!/usr/bin/env bash\na\nb\nE", 2),
    ("HeredocWithoutErrexit", "FROM b\nRUN bash <<E\na\nb\nE", 2),
    ("JsonLookalike", "FROM b\nCMD ['a', 'b']", 2),
    ("JsonLookalike", 'FROM b\nCMD ["a", "b",]', 2),
    ("JsonLookalike", 'FROM b\nRUN [ "a", "b" "c" ]', 2),
    ("JsonLookalike", "FROM b\nENTRYPOINT ['a']", 2),
    ("JsonLookalike", "FROM b\nCOPY ['a', '/b']", 2),
    ("JsonLookalike", "FROM b\nVOLUME ['/a']", 2),
    ("OptionalSecretEnv", "FROM b\nRUN --mount=type=secret,id=s,env=S a", 2),
    ("WorkdirTwice", "FROM b\nWORKDIR /a\nWORKDIR b", 2),
]


@pytest.mark.parametrize(("rule", "text", "line"), FIRES)
def test_a_trap_fires_where_it_is_written(rule: str, text: str, line: int) -> None:
    assert [(each.rule, each.span.first) for each in traps(text)] == [(rule, line)]


@pytest.mark.parametrize(
    "text",
    [
        "FROM b\nENV A=1\nARG A",  # nothing is given
        "FROM b\nARG A=2\nENV A=1",
        "FROM b\nENV A=1\nARG A=1",
        "FROM b\nRUN --mount=type=cache,target=/c a\nRUN --mount=type=cache,target=/c,sharing=locked b",
        "FROM b\nRUN --mount=type=cache,target=/c a\nRUN --mount=type=cache,target=/d,uid=3 b",
        "FROM b\nRUN <<E\nset -eux\na\nb\nE",
        "FROM b\nRUN <<E\n# first\nset -o pipefail -e\na\nb\nE",
        "FROM b\nRUN <<E\na &&\n  b\nE",
        "FROM b\nRUN <<E\n#!/usr/bin/python3\na\nb\nE",
        "FROM b\nRUN <<E\n#!/bin/sh -e\na\nb\nE",
        'FROM b\nSHELL ["/bin/bash", "-ec"]\nRUN <<E\na\nb\nE',
        "FROM b\nRUN cat <<E >/f\na\nb\nE",
        'FROM b\nRUN [ "$A" = b ] && c',
        'FROM b\nRUN [ "a" ]',
        'FROM b\nCMD ["a", "b"]',
        "FROM b\nRUN --mount=type=secret,id=given,env=S a",
        "FROM b\nRUN --mount=type=secret,id=s,env=S,required a",
        "FROM b\nWORKDIR /a\nRUN x\nWORKDIR /b",
        "FROM b\nWORKDIR /\nWORKDIR /b",
        "FROM b AS unused\nWORKDIR /a\nWORKDIR /b\nFROM scratch",
    ],
)
def test_what_only_looks_like_a_trap_is_left_alone(text: str) -> None:
    assert traps(text) == []


def test_a_trap_is_looked_for_only_when_asked() -> None:
    assert traps(FIRES[0][1], strict=False) == []


def test_its_name_above_the_instruction_silences_it_and_all_does_not() -> None:
    assert traps("FROM b\n# check=skip=WorkdirTwice\nWORKDIR /a\nWORKDIR /b") == []
    assert traps("# check=skip=WorkdirTwice\nFROM b\nWORKDIR /a\nWORKDIR /b") == []
    assert len(traps("# check=skip=all\nFROM b\nWORKDIR /a\nWORKDIR /b")) == 1


def test_traps_are_no_findings_of_error_true() -> None:
    text = "# check=error=true\nFROM b\nWORKDIR /a\nWORKDIR /b"
    assert not fails(parse(text.encode(), "Dockerfile"), traps(text), matter())


def test_the_error_names_the_first_and_counts_the_others() -> None:
    found = traps("FROM b\nWORKDIR /a\nWORKDIR /b\nCMD ['a']")
    problem = error(found)
    assert problem.message.endswith("[WorkdirTwice] (and 1 more: see the warnings)")
    assert problem.span == found[0].span and problem.hint and "# check=skip=WorkdirTwice" in problem.hint
