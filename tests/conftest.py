"""Fixtures for every room, and how long property tests search."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.command import Rbuild, tier_works
from tests.support.registries import (  # noqa: F401 (fixtures)
    _token_registry,
    authority,
    mirror_registry,
    mutual_tls_registry,
    password_registry,
    plain_registry,
    tls_registry,
    token_registry,
)
from tests.support.tools import need_tool

# A shared machine stalls now and then: time says nothing about a property.
# What "make test" tries is the same every time; "make fuzz" looks for what is new.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("default", PATIENT, derandomize=True)
settings.register_profile("fuzz", PATIENT, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(autouse=True)
def never_the_users_own_store(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing that a test forgets to say can reach the store, or follow the settings, of who runs it."""
    monkeypatch.setenv("RBUILD_STORE", str(tmp_path_factory.getbasetemp() / "forgotten-store"))
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", os.devnull)
    docker = tmp_path_factory.getbasetemp() / "forgotten-docker"
    docker.mkdir(exist_ok=True)
    (docker / "config.json").write_text("{}")  # podman and buildah want the file that the variable speaks of
    monkeypatch.setenv("DOCKER_CONFIG", str(docker))
    ours = ("RBUILD_ISOLATION", "SOURCE_DATE_EPOCH", "REGISTRY_AUTH_FILE", "DOCKER_AUTH_CONFIG")
    for name in (*ours, "PYTHONUNBUFFERED"):  # the last one hides faults at the end of a process
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def rbuild(tmp_path: Path) -> Iterator[Rbuild]:
    """The rbuild command with an empty store."""
    command = Rbuild(tmp_path / "store")
    yield command
    command.clean()


@pytest.fixture
def sandbox() -> None:
    """For tests that RUN: skips where the host gives no tier for it."""
    if not tier_works():
        pytest.skip("this host gives no user namespace to RUN in")


@pytest.fixture
def busybox() -> Path:
    """A static busybox, the smallest system that RUN works in."""
    return Path(need_tool("busybox"))
