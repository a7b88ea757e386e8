"""Fixtures for tests with real sandboxes. They run as any user, in each tier that this user and host have."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, get_args

import pytest

from builder.sandbox import idmaps, probe
from builder.sandbox.tiers import Tier
from tests.support.rootfs import BUSYBOX, Place

if TYPE_CHECKING:
    from pathlib import Path

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
