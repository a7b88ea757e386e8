"""Hosts that refuse: few descriptors, small limits, odd stores, no namespaces. The build works or says why."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import Rbuild

RUNS = 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "touch", "/file"]\n'


@pytest.fixture
def context(tmp_path: Path, busybox: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    shutil.copy(busybox, directory / "busybox")
    (directory / "Dockerfile").write_text(RUNS)
    return directory


def limited(rbuild: Rbuild, context: Path, which: int, soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    """A build with one resource limit lowered."""
    return subprocess.run(
        [sys.executable, "-c", _LIMITED, str(which), str(soft), str(hard), rbuild.command, context],
        env=rbuild.environment,
        capture_output=True,
        text=True,
        check=False,
    )


_LIMITED = """
import os, resource, sys
which, soft, hard = map(int, sys.argv[1:4])
resource.setrlimit(which, (soft, hard))
os.execv(sys.argv[4], sys.argv[4:])
"""


@pytest.mark.usefixtures("sandbox")
def test_a_low_soft_limit_of_open_files_is_raised(rbuild: Rbuild, context: Path) -> None:
    many = "".join(f'RUN ["/bin/busybox", "touch", "/file-{n}"]\n' for n in range(40))
    (context / "Dockerfile").write_text(RUNS + many)
    run = limited(rbuild, context, resource.RLIMIT_NOFILE, 40, 4096)
    assert run.returncode == 0, run.stderr


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("most", range(10, 34, 3))
def test_too_few_open_files_are_named(rbuild: Rbuild, context: Path, most: int) -> None:
    """Wherever the limit strikes: a child that cannot even report says nothing and looks like a missing program."""
    run = limited(rbuild, context, resource.RLIMIT_NOFILE, most, most)
    if run.returncode:
        assert run.returncode == 1, run.stderr
        assert "Too many open files" in run.stderr and "ulimit -n" in run.stderr


def test_a_file_that_is_too_large_is_told_with_the_line(rbuild: Rbuild, context: Path) -> None:
    run = limited(rbuild, context, resource.RLIMIT_FSIZE, 100_000, 100_000)
    assert run.returncode == 1
    assert "Dockerfile:2" in run.stderr and "File too large" in run.stderr and "ulimit -f" in run.stderr


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    "name",
    ["with space", "co:lon", "com,ma", "back\\slash", "new\nline", "b\udcff", "per%cent", "x" * 200 + "/" + "y" * 200],
)
def test_any_store_path_works(context: Path, tmp_path: Path, name: str) -> None:
    """The options of an overlay mount have their own ideas of colons, commas and backslashes."""
    rbuild = Rbuild(tmp_path / name)
    rbuild("--quiet", context)
    rbuild.clean()


@pytest.mark.usefixtures("sandbox")
def test_more_layers_than_a_page_of_mount_options(rbuild: Rbuild, context: Path) -> None:
    many = "".join(f'RUN ["/bin/busybox", "touch", "/file-{n}"]\n' for n in range(130))
    (context / "Dockerfile").write_text(RUNS + many)
    rbuild("--quiet", context)


@pytest.mark.usefixtures("sandbox")
def test_a_build_leaves_nothing_staged_that_only_rbuild_could_remove(rbuild: Rbuild, context: Path) -> None:
    rbuild("--isolation=single", context)
    assert os.listdir(rbuild.store / "tmp") == []
    assert not [name for name in os.listdir(rbuild.store) if name.startswith(".")]
    shutil.rmtree(rbuild.store)


def test_builds_without_run_need_no_namespace(rbuild: Rbuild, context: Path, tmp_path: Path) -> None:
    """With unshare, clone of namespaces and mount refused: the same digest as anywhere; a RUN is refused at once."""
    (context / "Dockerfile").write_text("FROM scratch\nCOPY --chown=12:34 --chmod=4755 busybox /b\nWORKDIR /a/b\n")
    denied = [sys.executable, str(Path(__file__).parents[1] / "support" / "no_namespaces.py"), rbuild.command]
    run = subprocess.run([*denied, "-q", context], env=rbuild.environment, capture_output=True, text=True, check=False)
    if run.returncode == 77:
        pytest.skip(run.stderr)
    elsewhere = Rbuild(tmp_path / "elsewhere")
    assert run.stdout == elsewhere("-q", context).stdout
    elsewhere.clean()
    (context / "Dockerfile").write_text(RUNS)
    run = subprocess.run([*denied, context], env=rbuild.environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "unshare: Operation not permitted [EPERM]" in run.stderr and "hint: " in run.stderr
