"""`--check` and `--call=check`: words, JSON and exit status; no store is made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def rbuild(here: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    (here / "Dockerfile").write_text(text)
    command = [sys.executable, "-m", "builder", "build", *words, "--store", str(here / "store"), str(here)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_fired_is_told_with_its_lines(tmp_path: Path) -> None:
    done = rbuild(tmp_path, "FROM base\nCMD run it\n", "--check")
    assert done.returncode == 1
    assert "WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-rec" in done.stdout
    assert f"{tmp_path}/Dockerfile:2\n" in done.stdout and ">>> 2 | CMD run it" in done.stdout
    assert not (tmp_path / "store").exists()


def test_a_clean_file_succeeds(tmp_path: Path) -> None:
    assert rbuild(tmp_path, "FROM base\n", "--check").returncode == 0


def test_json_has_rule_place_and_source(tmp_path: Path) -> None:
    done = rbuild(tmp_path, "FROM scratch\nENV a b\n", "--call=check,format=json")
    answer = json.loads(done.stdout)
    assert [each["ruleName"] for each in answer["warnings"]] == ["LegacyKeyValueFormat"]
    assert answer["warnings"][0]["location"] == {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]}
    assert answer["sources"][0]["language"] == "Dockerfile" and "buildError" not in answer


def test_a_build_error_is_told_with_its_place(tmp_path: Path) -> None:
    done = rbuild(tmp_path, "FROM scratch\nBADCMD\n", "--call=check,format=json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["buildError"]["location"]["ranges"][0]["start"] == {"line": 2}


@pytest.mark.parametrize("call", ["lint", "outline,format=yaml", "check,format=xml"])
def test_an_unknown_call_is_refused(tmp_path: Path, call: str) -> None:
    assert rbuild(tmp_path, "FROM scratch\n", f"--call={call}").returncode == 2


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("FROM scratch AS a\nFROM a\nCOPY --from=7 /x /\n", ":3", "no stage number 7"),
        ("FROM scratch\nEXPOSE 99999\n", ":2", "port"),
        ("FROM scratch\nRUN --network=host true\n", ":2", "network.host"),
        ("FROM scratch\nENV A=${B:?need}\nFROM base\n", "", ""),
        ("FROM base\nENV A=${B:?need}\n", "", ""),
    ],
)
def test_what_would_end_a_build_ends_the_check(tmp_path: Path, text: str, place: str, message: str) -> None:
    """As far as no base has to be looked up, and in the stages that the target needs."""
    done = rbuild(tmp_path, text, "--check")
    assert done.returncode == (1 if place else 0), done.stdout
    assert place in done.stdout and message in done.stdout


def test_a_dockerfile_on_standard_input(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM another\n")
    for words in (["-f", "-", "."], ["-"]):
        done = subprocess.run(
            [sys.executable, "-m", "builder", "build", "--check", *words],
            input="FROM scratch\nCMD run it\n",
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert "<stdin>:2\n" in done.stdout and ">>> 2 | CMD run it" in done.stdout
