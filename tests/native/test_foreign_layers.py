"""Layers that umoci and buildah make of random changes, with whiteouts, hard links, xattrs and capabilities in them.

Ours of them is what GNU tar with a script, and umoci, make of them: names, content, modes, owners, whole seconds,
xattrs and links. SEED chooses other changes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.sandbox import probe
from tests.support.tools import ROOT, need_tool

SEED = os.environ.get("SEED", "0")
COUNT = "25"


def read_back(maker: str, room: Path, *before: str, **environment: str) -> None:
    need_tool("umoci")
    done = subprocess.run(
        [*before, sys.executable, "-m", "tests.support.foreign", maker, room, SEED, COUNT],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"SEED={SEED}\n{done.stderr}"


def test_layers_of_umoci(tmp_path: Path) -> None:
    """Its whiteouts in directories that the same layer replaces, too."""
    if refusal := probe.probe("single"):
        pytest.skip(refusal.message)
    read_back("umoci", tmp_path / "room")


@pytest.fixture
def buildah(tmp_path: Path) -> Iterator[list[str]]:
    """With a storage of its own; skipped by name where it cannot work."""
    state = tempfile.mkdtemp(prefix="b-", dir="/tmp")
    storage = ["--root", str(tmp_path / "storage"), "--runroot", state, "--storage-driver", "vfs"]
    command = [need_tool("buildah"), *storage]
    outside = [] if os.geteuid() == 0 else [*command, "unshare"]
    works = subprocess.run([*outside, *command, "from", "scratch"], capture_output=True, text=True, check=False)
    if works.returncode:
        pytest.skip(f"buildah does not work here: {works.stderr.strip()[-200:]}")
    yield command
    subprocess.run([*outside, "rm", "-rf", str(tmp_path / "storage"), state], check=True, capture_output=True)


def test_layers_of_buildah(buildah: list[str], tmp_path: Path) -> None:
    """In its user namespace with all the ids that it has."""
    if os.geteuid() == 0:
        pytest.skip("buildah enters no user namespace as root")
    if (
        "no subuid ranges"
        in subprocess.run([*buildah, "unshare", "true"], capture_output=True, text=True, check=False).stderr
    ):
        pytest.skip("buildah has no range of ids here")
    read_back("buildah", tmp_path / "room", *buildah, "unshare", BUILDAH=" ".join(buildah))
