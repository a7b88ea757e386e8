"""`--call=outline` and `--call=targets`: tables, JSON and exit status; no store is made."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TEXT = """\
# V the version
ARG V=3
ARG SUFFIX=-slim
ARG UNUSED
FROM b:$V${SUFFIX} AS base
# MODE how to build
ARG MODE=fast
RUN --mount=type=secret,id=s --mount=type=secret,id=s,required --mount=type=ssh --mount=type=cache,target=/c x
# app the program
FROM base AS app
ARG V
FROM scratch AS other
ARG O
RUN --mount=type=secret,id=t x
FROM app
"""


def rbuild(here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (here / "Dockerfile").write_text(TEXT)
    command = [sys.executable, "-m", "builder", "build", *words, "--store", str(here / "store"), str(here)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not (here / "store").exists()
    return done


def asked(here: Path, *words: str) -> dict[str, Any]:
    done = rbuild(here, *words)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert [base64.b64decode(source).decode() for source in answer.pop("sources")] == [TEXT]
    return answer


def line(each: dict[str, Any]) -> int:
    location = each.pop("location")
    (found,) = location["ranges"]
    return int(found["start"]["line"])


def test_targets_are_the_named_stages_and_the_last(tmp_path: Path) -> None:
    found = asked(tmp_path, "--call=targets,format=json")["targets"]
    assert [line(each) for each in found] == [5, 10, 12, 15]
    assert found == [
        {"name": "base", "base": "b:3-slim"},
        {"name": "app", "description": "the program", "base": "base"},
        {"name": "other", "base": "scratch"},
        {"default": True, "base": "app"},
    ]


def test_targets_as_a_table(tmp_path: Path) -> None:
    rows = rbuild(tmp_path, "--call=targets").stdout.splitlines()
    assert [row.split(None, 1) for row in rows] == [
        ["TARGET", "DESCRIPTION"], ["base"], ["app", "the program"], ["other"], ["-", "(default)"],
    ]  # fmt: skip


def test_outline_is_what_the_target_needs(tmp_path: Path) -> None:
    found = asked(tmp_path, "--call=outline,format=json", "--target=app", "--build-arg=MODE=slow")
    assert [line(each) for each in found["args"]] == [3, 7, 11]
    assert found["args"] == [
        {"name": "SUFFIX", "value": "-slim"},
        {"name": "MODE", "description": "how to build", "value": "slow"},
        {"name": "V", "description": "the version", "value": "3"},
    ]
    for part in ("secrets", "ssh", "cache"):
        assert [line(each) for each in found[part]] == [8]
    assert found["secrets"] == [{"name": "s", "required": True}]
    assert found["ssh"] == [{"name": "default"}] and found["cache"] == [{"id": "/c"}]
    assert (found["name"], found["description"]) == ("app", "the program")


def test_outline_as_tables(tmp_path: Path) -> None:
    assert rbuild(tmp_path, "--call=outline", "--target=other").stdout == (
        "TARGET:   other\n\nBUILD ARG   VALUE   DESCRIPTION\nO\n\nSECRET   REQUIRED\nt        false\n"
    )


def test_a_target_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    done = rbuild(tmp_path, "--call=outline", "--target=bas")
    assert done.returncode == 1 and "base" in done.stderr


def test_an_unknown_method_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    done = rbuild(tmp_path, "--call=outlines")
    assert done.returncode == 2 and "outline, targets" in done.stderr
