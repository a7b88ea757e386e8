"""What builds look at of contexts with many files, counted in system calls (a thousandth of what users have)."""

from __future__ import annotations

import os
import re
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.tools import need_tool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.command import Rbuild

FILES = 600


class Calls(NamedTuple):
    """Paths below the context that were looked at, listed and opened as files."""

    looked: list[str]
    listed: list[str]
    opened: list[str]


@pytest.fixture
def traced(rbuild: Rbuild, context: Path, tmp_path: Path) -> Callable[[], Calls]:
    strace, log = need_tool("strace"), tmp_path / "trace"
    if subprocess.run([strace, "-qq", "-e", "trace=none", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace cannot trace here")

    def run() -> Calls:
        calls = "?stat,?lstat,?newfstatat,?statx,openat,openat2,?open,?readlink,readlinkat"
        words = [strace, "-f", "-y", "-o", str(log), "-e", f"trace={calls}", rbuild.command, "--isolation=none"]
        subprocess.run([*words, str(context)], env=rbuild.environment, capture_output=True, check=True)
        looked, listed, opened = [], [], []
        for line in log.read_text().splitlines():
            if str(context) not in line or "ENOENT" in line:
                continue
            name = re.sub(r'^.*?<(\S*)>, "(.*?)".*$', r"\1/\2", line)
            if "stat" in line.partition("(")[0] or "readlink" in line.partition("(")[0]:
                looked.append(name)
            else:
                (listed if "O_DIRECTORY" in line else opened).append(name)
        return Calls(looked, listed, opened)

    return run


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files in twenty directories, old enough for their digests to be remembered. Tests write what is at its top."""
    root = tmp_path_factory.mktemp("large") / "context"
    for directory in range(20):
        (root / "src" / f"d{directory}").mkdir(parents=True)
        for number in range(FILES // 20):
            (root / "src" / f"d{directory}" / f"file{number}.c").write_text(f"{directory} {number}")
    (root / "keep").mkdir()
    (root / "keep/x").write_text("x")
    time.sleep(2.1)
    return root


def dockerfile(context: Path, *lines: str, ignore: str = "") -> None:
    (context / "Dockerfile").write_text("\n".join(("FROM scratch", *lines, "")))
    (context / ".dockerignore").write_text(ignore)


@pytest.mark.parametrize(
    "ignore", ["", ".git\n**/node_modules\n**/*.py[cod]\n*.md\n!README.md\ndist/\nbuild\n.env*\n**/.DS_Store\n*.log\n"]
)
def test_a_build_that_finds_everything_looks_at_each_file_once(
    rbuild: Rbuild, context: Path, traced: Callable[[], Calls], ignore: str
) -> None:
    """Whatever number of steps copies it. No file is read, and no directory is listed twice."""
    dockerfile(context, "WORKDIR /app", "COPY src /app/", "COPY --exclude=x . /all", ignore=ignore)
    rbuild("--isolation=none", context, status=0)
    calls = traced()

    files = [path for path in calls.looked if path.endswith(".c")]
    assert len(files) == len(set(files)) == FILES
    assert not [path for path in calls.opened if path.endswith(".c")]
    directories = [path for path in calls.listed if "/src/d" in path]
    assert len(directories) == len(set(directories)) == 20
    assert len(calls.looked) < FILES + 100


def test_only_the_changed_file_is_read_again(rbuild: Rbuild, context: Path, traced: Callable[[], Calls]) -> None:
    dockerfile(context, "COPY src /app/", ignore="*.md")
    rbuild("--isolation=none", context, status=0)
    os.utime(context / "src/d7/file7.c", (1, 1))  # of the same content: the key stays, and nothing is copied
    calls = traced()

    assert [os.path.basename(path) for path in calls.opened if path.endswith(".c")] == ["file7.c"]


@pytest.mark.parametrize("ignore", ["src\n!keep/x\n", "*\n!keep/x\n", "**\n!keep\n"])
def test_an_ignored_directory_is_not_looked_into(context: Path, traced: Callable[[], Calls], ignore: str) -> None:
    """B-T9"""
    dockerfile(context, "COPY . /", ignore=ignore)
    calls = traced()

    assert not [path for path in (*calls.looked, *calls.listed) if "/src/d" in path]
    assert len(calls.looked) < 100


@pytest.mark.parametrize("copy", ["COPY keep/x /", "COPY --parents keep/x /", "COPY keep /k/", "COPY ke*p/x /"])
def test_copying_one_file_never_walks_the_rest(context: Path, traced: Callable[[], Calls], copy: str) -> None:
    """B-T10"""
    dockerfile(context, copy)
    calls = traced()

    assert not [path for path in (*calls.looked, *calls.listed) if "/src/" in path]
    assert len(calls.looked) < 100
