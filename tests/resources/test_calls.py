"""What a build asks of the kernel, counted by strace: as much as has changed, not as much as there is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support import layer_call
from tests.support.builds import write_context
from tests.support.command import Rbuild
from tests.support.tools import need_tool

FILES = 1000
SETTLED = 2.1  # seconds until the digest of a new file is remembered


def calls(place: Path, *command: str | Path, **environment: str) -> Counter[str]:
    """The system calls of a program and all that it starts, by name."""
    strace, counts = need_tool("strace"), place / "calls"
    done = subprocess.run(
        [strace, "-f", "-c", "-o", counts, *command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr:
        pytest.skip("this host does not let processes be traced")
    assert done.returncode == 0, done.stderr
    rows = (line.split() for line in counts.read_text().splitlines()[2:-2])
    return Counter({row[-1]: int(row[3]) for row in rows})


def calls_of_a_diff(place: Path, tree: Path, base: Path) -> int:
    """A process that makes six, less one that makes one: a fifth of the rest."""
    script = Path(layer_call.__file__)
    whole = [calls(place, sys.executable, script, "0", "diff", str(times), tree, base).total() for times in (6, 1)]
    return round((whole[0] - whole[1]) / 5)


def base_of(tree: Path, files: int) -> Path:
    for number in range(files):
        path = tree / "diff" / f"d{number % 20}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tree


def test_a_diff_asks_for_what_has_changed(tmp_path: Path) -> None:
    """B-T1: one new file in a directory, on a base of 20 files and on one of 1000."""
    (tmp_path / "upper" / "diff" / "d1").mkdir(parents=True)
    (tmp_path / "upper" / "diff" / "d1" / "new").touch()
    small, large = base_of(tmp_path / "small", 20), base_of(tmp_path / "large", FILES)

    few, many = (calls_of_a_diff(tmp_path, tmp_path / "upper", base) for base in (small, large))

    # Threads wake one another as often as it happens.
    assert few > 0
    assert many <= few + 20


def test_a_cached_build_looks_at_each_file_once_and_reads_none(rbuild: Rbuild, tmp_path: Path) -> None:
    files = {f"files/d{number % 20}/f{number}": f"{number}" for number in range(FILES)}
    context = write_context(tmp_path / "context", "FROM scratch\nCOPY files /\n", files)
    empty = write_context(tmp_path / "empty", "FROM scratch\nCOPY files /\n", {"files/d1/f1": ""})
    time.sleep(SETTLED)
    for directory in (context, empty):
        rbuild("-q", directory)

    of_all, of_none = (
        calls(tmp_path, rbuild.command, "-q", directory, RBUILD_STORE=str(rbuild.store))
        for directory in (context, empty)
    )

    more = of_all - of_none
    stats = sum(more[name] for name in ("stat", "lstat", "statx", "newfstatat", "fstatat64"))
    assert FILES * 0.9 <= stats <= FILES * 1.1
    assert more["read"] + more["pread64"] <= FILES * 0.05
    assert more["open"] + more["openat"] + more["openat2"] <= FILES * 0.1
