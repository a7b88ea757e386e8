"""A disk that fails, is full or slow to give, and a kill: the build says so, and the store is whole afterwards.

The fault is given to the n-th call that touches a file, whichever it is. The build unpacks a base, copies between
stages, packs layers and stores blobs; no step of it runs anything.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from builder.store.store import Store
from tests.support.builds import write_context
from tests.support.images import put_image
from tests.support.tools import ROOT, need_tool

KILL, SHORT = -1, -2
FAULTS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EINTR": errno.EINTR, "kill": KILL, "short": SHORT}
HARMLESS = ("EINTR", "short")
DOCKERFILE = """\
FROM base AS first
COPY a /new/a
FROM base
COPY --from=first /etc /copied
COPY --from=first /new/a /data/ /last/
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("faults")
    write_context(top / "context", DOCKERFILE, {"a": "a" * 3000})
    with Store.open(str(top / "store")) as store:
        image = put_image(store, {"etc/passwd": b"root", "data/big": os.urandom(300_000)}, {"etc/group": b"g" * 99})
        store.tags.set("docker.io/library/base:latest", image.manifest)
    command = ["-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", "-o", str(top / "inject.so")]
    subprocess.run([need_tool("gcc"), *command, str(ROOT / "tests/support/inject.c"), "-ldl"], check=True)
    return top


def stories(place: Path, compression: str, fault: int, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.support.injected", str(place), compression, str(fault)]
    run = subprocess.run(
        [*command, *map(str, numbers)],
        env={**os.environ, "LD_PRELOAD": str(place / "inject.so"), "SOURCE_DATE_EPOCH": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return (json.loads(line) for line in run.stdout.splitlines())


def check(place: Path, compression: str, name: str, numbers: Sequence[int]) -> int:
    """How many of the calls `numbers` met their fault and were survived."""
    whole, *others = stories(place, compression, FAULTS[name], numbers)
    assert len(others) == len(numbers)
    for story in others:
        told = f"{name} at {story}"
        assert "bug" not in story, told
        assert not story["hurt"] and not story["left"], told
        assert story["again"] == whole["digest"] and story["trees"] == whole["trees"], told
        if name in HARMLESS or not story.get("error"):
            assert story.get("digest") == whole["digest"] or story.get("died"), told
        elif name == "ENOSPC":
            assert "No space left" in story["error"], told
        elif name == "EIO":
            assert "Input/output error" in story["error"], told
    return sum(bool(story.get("call") or story.get("died")) for story in others)


def calls(place: Path, compression: str) -> int:
    (whole,) = stories(place, compression, 0, [])
    return int(whole["calls"])


@pytest.fixture(scope="module")
def count(place: Path) -> int:
    return calls(place, "gzip")


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_here_and_there_leaves_no_half_layer(place: Path, count: int, name: str) -> None:
    assert count > 300
    offset = list(FAULTS).index(name) * 7
    assert check(place, "gzip", name, range(30 + offset, count, count // 4)) >= 1


@pytest.mark.torture
@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_at_every_call_leaves_no_half_layer(place: Path, name: str, compression: str) -> None:
    count = calls(place, compression)
    assert check(place, compression, name, range(1, count + 1)) > count * 0.5
