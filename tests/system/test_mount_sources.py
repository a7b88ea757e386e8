"""RUN --mount=type=bind of build contexts: shown as they lie there where that looks like a copy, else copied."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.builds import build, write_context

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Rbuild

BIND = "RUN --mount=source=d,target=/d"


def lines(told: object) -> list[str]:
    return [event["line"] for event in told["StepLog"]]  # type: ignore[index]


def mounted(path: str) -> str:
    """A script that tells the type of the file system that is mounted at `path`: overlay if it is a copy."""
    found = f"[ $e != {path} ] || echo ${{rest##* - }}"
    return f"while read -r a b c d e rest; do {found}; done </proc/self/mountinfo"


def test_plain_context_is_shown_as_it_lies_there(rbuild: Rbuild, base: str, tier: str, tmp_path: Path) -> None:
    """Links of the context lead within it, nothing can be written, and nothing else of the host is there."""
    context = write_context(
        tmp_path / "c",
        f"FROM busybox\nRUN --mount=source=up/d,target=/d {mounted('/d')}\n"
        f"{BIND} ls /d; cat /d/a; stat -c '%u %g' /d/a; touch /d/a /d/new; rm /d/a; chmod 777 /d; "
        "mount -o remount,rw /d; touch /d/a; ls /dev | grep rbuild; true\n",
        {"d/a": "x\n", "e/d": "y"},
    )
    (context / "up").symlink_to("/")
    before = os.stat(context / "d"), os.stat(context / "d/a")
    told = lines(build(rbuild, f"--isolation={tier}", context))

    assert "overlay" not in told[0]
    assert told[1:4] == ["a", "x", "0 0"]
    refusals = [line for line in told[4:] if "Read-only" in line or "denied" in line or "not permitted" in line]
    assert refusals == told[4:] and len(refusals) == 6
    after = os.stat(context / "d"), os.stat(context / "d/a")
    assert [item.st_ctime_ns for item in after] == [item.st_ctime_ns for item in before]


def hide_by_ignore_file(context: Path) -> None:
    (context / ".dockerignore").write_text("d/hidden\n")
    (context / "d/hidden").write_text("hidden")


def put_a_socket(context: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(context / "d")  # names of sockets are short
        try:
            listener.bind("hidden")
        finally:
            os.chdir(here)


def give_away(context: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    os.chown(context / "d/a", 12, 34)


@pytest.mark.parametrize("change", [hide_by_ignore_file, put_a_socket, give_away])
def test_what_a_copy_would_not_have_is_not_shown(rbuild: Rbuild, base: str, tmp_path: Path, change: object) -> None:
    context = write_context(
        tmp_path / "c", f"FROM busybox\n{BIND} {mounted('/d')}; ls /d; stat -c '%u %g' /d/a\n", {"d/a": "x"}
    )
    change(context)  # type: ignore[operator]
    told = lines(build(rbuild, context))

    assert told[0].startswith("overlay")
    assert told[1:] == ["a", "0 0"]


@pytest.mark.parametrize("change", ["a", "new"])
def test_context_that_changes_under_a_step_is_told(rbuild: Rbuild, base: str, tmp_path: Path, change: str) -> None:
    """The cache must not say that what the step saw was what its key names."""
    context = write_context(tmp_path / "c", f"FROM busybox\n{BIND} echo up; sleep 2\n", {"d/a": "x"})
    running = rbuild.start("build", "--progress=plain", context)
    assert running.stdout
    for line in running.stdout:
        if line.rstrip().endswith(" up"):
            break
    time.sleep(0.1)
    (context / "d" / change).write_text("y")
    out, _ = running.communicate()

    assert running.returncode == 1
    assert "was changed while it was being mounted" in out
    assert build(rbuild, context).steps("StepStarted") != []


def test_step_that_may_remount_gets_a_copy(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    text = (
        "FROM busybox\nRUN --security=insecure --mount=source=d,target=/d mount -o remount,rw /d; echo y >/d/a; true\n"
    )
    context = write_context(tmp_path / "c", text, {"d/a": "x"})
    build(rbuild, "--allow=security.insecure", context)

    assert (context / "d/a").read_text() == "x"


def test_context_on_a_single_file(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    context = write_context(
        tmp_path / "c", "FROM busybox\nRUN --mount=source=l,target=/x/f cat /x/f; echo >/x/f || true\n", {"d/a": "x\n"}
    )
    (context / "l").symlink_to("d/a")
    told = lines(build(rbuild, context))

    assert told[0] == "x" and "Read-only" in told[1]
    assert (context / "d/a").read_text() == "x\n"
