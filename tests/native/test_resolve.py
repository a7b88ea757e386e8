"""Resolving a path while the host is busy: the kernel refuses ".." with EAGAIN as long as renames race with it."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder import _native

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def renames(place: Path, processes: int) -> Iterator[None]:
    pids = []
    for number in range(processes):
        (place / f"{number}").mkdir()
        pid = os.fork()
        if pid == 0:
            first, second = str(place / f"{number}"), str(place / f"{number}-renamed")
            while True:
                os.rename(first, second)
                os.rename(second, first)
        pids.append(pid)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_renames_elsewhere_never_make_a_path_unresolvable(tmp_path: Path) -> None:
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "a" / "file").touch()
    root = os.open(tmp_path / "root", os.O_PATH)
    wanted = (tmp_path / "root" / "a" / "file").stat().st_ino
    with renames(tmp_path, 4):
        for _ in range(3000):
            fd = _native.open_in_root(root, b"../" * 500 + b"a/../a/file", os.O_PATH)
            assert os.fstat(fd).st_ino == wanted
            os.close(fd)
    os.close(root)
