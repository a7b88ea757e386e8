"""Build checks in real builds: what fires is an event, once, and `error=true` is the end of it."""

from __future__ import annotations

from pathlib import Path

from tests.support.builds import build, write_context
from tests.support.command import Rbuild

TEXT = "FROM scratch\nCOPY a /a\nENV k v\n"


def test_each_warning_is_told_once_for_several_platforms(rbuild: Rbuild, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", TEXT, {"a": "a"})
    told = build(rbuild, "--platform=linux/amd64,linux/arm64", context)
    assert [(each["rule"], each["span"]["first"]) for each in told["CheckWarning"]] == [("LegacyKeyValueFormat", 3)]


def test_a_cached_build_warns_again(rbuild: Rbuild, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", TEXT, {"a": "a"})
    assert [len(build(rbuild, context)["CheckWarning"]) for _ in range(2)] == [1, 1]


def test_error_true_ends_the_build_before_a_step(rbuild: Rbuild, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", f"# check=error=true\n{TEXT}", {"a": "a"})
    told = build(rbuild, "-t", "x", context, status=1)
    assert [each["rule"] for each in told["CheckWarning"]] == ["LegacyKeyValueFormat"]
    assert "LegacyKeyValueFormat" in told.error["message"] and told.error["span"]["first"] == 4
    assert not told["StepStarted"] and not told["ImageReady"]


def test_the_build_argument_takes_the_place_of_the_directive(rbuild: Rbuild, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", f"# check=error=true\n{TEXT}", {"a": "a"})
    told = build(rbuild, "--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=all", context)
    assert not told["CheckWarning"]
