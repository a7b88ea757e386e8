"""Proxies are of the place where one builds: a cached step stays cached behind another, unless ARG declares it."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def ran(steps: list[str]) -> list[str]:
    return [step for step in steps if step.startswith("RUN")]
