"""Fixtures for tests with real sandboxes. They run as any user, in each tier that this user and host have.

The base images are built by rbuild itself, from nothing but a static busybox.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, get_args

import pytest

from builder.sandbox import idmaps, probe
from builder.sandbox.tiers import Tier
from tests.support.builds import build_busybox, build_go
from tests.support.rootfs import BUSYBOX, Place
from tests.support.web import Web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command import Rbuild

SANDBOXES = [tier for tier in get_args(Tier) if tier != "none"]


def missing(tier: Tier) -> str | None:
    """Why this user cannot have `tier` here."""
    if not os.access(BUSYBOX, os.X_OK):
        return f"{BUSYBOX} is not there (package busybox-static)"
    try:
        if tier == "userns":
            idmaps.many()
    except idmaps.NoSubIds as error:
        return f"tier {tier}: {error.message}"
    refusal = probe.probe(tier)
    return refusal.message if refusal else None


@pytest.fixture(scope="session", params=SANDBOXES)
def tier(request: pytest.FixtureRequest) -> Tier:
    reason = missing(request.param)
    if reason:
        pytest.skip(reason)
    return request.param


@pytest.fixture
def place(tmp_path: Path, tier: Tier) -> Place:
    return Place(tmp_path / "place", tier)


@pytest.fixture
def base(rbuild: Rbuild, sandbox: None, busybox: Path, tmp_path: Path) -> str:
    """The digest of an image `busybox` in the store."""
    return build_busybox(rbuild, busybox, tmp_path / "busybox-context")


@pytest.fixture
def golang(rbuild: Rbuild, base: str, tmp_path: Path) -> str:
    """The digest of an image `golang:1.21-alpine` in the store, which compiles by copying."""
    return build_go(rbuild, tmp_path / "golang-context")


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[list[str | Path]]:
    """podman with a storage of its own; skipped by name where it cannot work at all."""
    state = tempfile.mkdtemp(prefix="p-", dir="/tmp")  # podman wants less than 50 characters
    roots = ["--root", tmp_path / "podman", "--runroot", state, "--storage-driver", "vfs"]
    command: list[str | Path] = ["podman", *roots]
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    works = subprocess.run([str(word) for word in [*command, "images"]], capture_output=True, text=True, check=False)
    if works.returncode:
        pytest.skip(f"podman does not work here: {works.stderr.strip()[-200:]}")
    yield command
    subprocess.run([str(word) for word in [*command, "rmi", "--all", "--force"]], capture_output=True, check=False)
    shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    (tmp_path / "www").mkdir()
    server = Web(tmp_path / "www")
    yield server
    server.close()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "context").mkdir()
    return tmp_path / "context"
