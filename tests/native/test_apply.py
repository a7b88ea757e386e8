"""F-T1: apply(base, diff) is the tree that the steps saw, by our unpacker, GNU tar with a script, and umoci.

SEED chooses other cases than those of every run, CASES how many; a failure prints the seed of its case, made smaller.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builder.sandbox import idmaps, probe
from builder.sandbox.tiers import Tier
from tests.support import tars
from tests.support.tools import ROOT, need_tool
from tests.support.trees import NATIVE

SEED = int(os.environ.get("SEED", "0"))
CASES = int(os.environ.get("CASES", "150"))  # a tier
EACH_TIER = pytest.mark.parametrize("tier", ["single", "userns"])  # recorded owners, real ones


def apply(room: Path, tier: Tier, where: str, seed: int, count: int, appliers: list[str]) -> None:
    need(tier)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.overlay_changes", room, tier, where, str(seed), str(count), *appliers],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount overlay" in done.stderr:
        pytest.skip("this kernel mounts no overlay in a user namespace")
    assert done.returncode == 0, f"SEED={SEED}\n{done.stderr}"


def need(tier: Tier) -> None:
    try:
        if tier == "userns":
            idmaps.many()
    except idmaps.NoSubIds as error:
        pytest.skip(f"tier {tier}: {error.message}")
    if refusal := probe.probe(tier):
        pytest.skip(refusal.message)


def present() -> list[str]:
    return ["ours", *(name for name in ("tar", "umoci") if shutil.which(name))]


@EACH_TIER
def test_any_changes_apply_to_what_was_seen(tier: Tier, tmp_path: Path) -> None:
    """F-T1: 300 cases, with no whiteout of nothing; a layer that is unpacked packs to itself, for both twins."""
    apply(tmp_path / "room", tier, "memory", SEED, CASES, present())


@EACH_TIER
@pytest.mark.parametrize("applier", ["tar", "umoci"])
def test_appliers_of_others_take_part(tier: Tier, applier: str, tmp_path: Path) -> None:
    """F-T1: says by name which program is missing."""
    need_tool(applier)
    apply(tmp_path / "room", tier, "memory", SEED + CASES, 1, [applier])


@pytest.mark.torture
@EACH_TIER
@pytest.mark.parametrize("batch", range(10))
def test_ten_thousand_cases_on_a_disk(tier: Tier, batch: int, tmp_path: Path) -> None:
    """F-T1: on the file system of the temporary directory."""
    apply(tmp_path / "room", tier, "disk", SEED + 1000 + 500 * batch, 500, present())


def test_a_whiteout_below_what_is_no_directory_hides_nothing(tmp_path: Path) -> None:
    """umoci writes one for each name of a directory that the same layer replaces."""
    for number, new in enumerate((tars.file(b"d"), tars.symlink(b"d", b"nowhere"))):
        tree = NATIVE.unpack(tars.archive(new, tars.file(b"d/.wh.x")), tmp_path / str(number), owners="recorded")
        assert tars.names(NATIVE.pack([tree], owners="recorded")) == ["d"]
