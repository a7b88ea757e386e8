"""Proxies are of the place where one builds: a cached step stays cached behind another, unless ARG declares it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from builder.cli.proxies import proxies
from builder.errors import UsageError
from tests.support.builds import build, write_context

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Rbuild

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
SPELLINGS = (*NAMES, *map(str.lower, NAMES))


def test_another_proxy_runs_nothing_again_unless_declared(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    context = write_context(
        tmp_path / "context", "FROM busybox\nRUN env >/all\nARG HTTP_PROXY\nRUN echo $HTTP_PROXY >/declared\n"
    )
    before = [f"--build-arg={name}=http://one" for name in SPELLINGS]
    undeclared = [f"--build-arg={name}=http://two" for name in SPELLINGS if name != "HTTP_PROXY"]
    build(rbuild, *before, context)

    same = build(rbuild, "--build-arg=HTTP_PROXY=http://one", *undeclared, context)
    other = build(rbuild, "--build-arg=HTTP_PROXY=http://two", *undeclared, context)

    assert not ran(same.steps("StepStarted"))
    assert ran(other.steps("StepStarted")) == ["RUN echo $HTTP_PROXY >/declared"]


def test_proxies_of_dockers_configuration_reach_run_and_nothing_else(
    rbuild: Rbuild, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Docker's command line does it: in both spellings, where --build-arg says nothing else."""
    default = {"httpProxy": "http://marker-one:3128", "noProxy": "marker-two", "ftpProxy": ""}
    document = {"auths": {}, "proxies": {"default": default, "tcp://daemon": {"httpsProxy": "http://not-ours"}}}
    (tmp_path / "config.json").write_text(json.dumps(document))
    context = write_context(tmp_path / "context", "FROM busybox\nRUN env | grep -i _proxy | sort | rev; true\n")
    plain = build(rbuild, "--no-cache", context)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    given = ("--build-arg=http_proxy=http://marker-mine", "--build-arg=NO_PROXY")
    behind = build(rbuild, "--no-cache", "-t", "app", *given, context)

    assert [event["line"][::-1] for event in behind["StepLog"]] == [
        "HTTP_PROXY=http://marker-one:3128",
        "http_proxy=http://marker-mine",
        "no_proxy=marker-two",
    ]
    assert behind.digest == plain.digest
    assert build(rbuild, context)["BuildFinished"][0]["executed"] == 0
    kept = [path for path in rbuild.store.rglob("*") if path.is_file()]
    assert not [path for path in kept if b"marker-" in path.read_bytes()]


FAULTS = {
    '{"proxies": ': "not valid JSON",
    '{"proxies": []}': "must be an object of strings",
    '{"proxies": {"default": {"httpProxy": 1}}}': "must be an object of strings",
}


def test_configuration_that_means_proxies_and_is_broken_is_named(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert proxies(environ) == {}
    (tmp_path / ".docker").mkdir()
    path = tmp_path / ".docker" / "config.json"
    path.write_text("{broken")  # of no concern
    assert proxies(environ) == {}
    for text, reason in FAULTS.items():
        path.write_text(text)
        with pytest.raises(UsageError, match=f"{path}: .*{reason}"):
            proxies(environ)


def ran(steps: list[str]) -> list[str]:
    return [step for step in steps if step.startswith("RUN")]
