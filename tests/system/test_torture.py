"""Any kill at any time leaves a store that works, and nothing running."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.support.command import Rbuild
from tests.support.processes import holding

pytestmark = [pytest.mark.torture, pytest.mark.usefixtures("sandbox")]

KILLS = int(os.environ.get("KILLS", "50"))
STEPS = 6
DOCKERFILE = "\n".join(
    [
        "FROM scratch AS base",
        "COPY busybox /bin/busybox",
        'RUN ["/bin/busybox", "--install", "-s", "/bin"]',
        *(f"RUN head -c 3000000 /dev/urandom >/random && echo {n} >/step-{n}" for n in range(STEPS)),
        "FROM scratch",
        *(f"COPY --from=base /step-{n} /" for n in range(STEPS)),
        "",
    ]
)


@pytest.fixture
def context(tmp_path: Path, busybox: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "Dockerfile").write_text(DOCKERFILE)
    shutil.copy(busybox, directory / "busybox")
    return directory


def built(rbuild: Rbuild, context: Path) -> str:
    return rbuild("--quiet", context).stdout


def kill_after(rbuild: Rbuild, context: Path, delay: float) -> None:
    build = rbuild.start("--no-cache", "-t", "tortured", context)
    time.sleep(delay)
    os.killpg(build.pid, signal.SIGKILL)
    build.communicate()


def test_a_killed_build_leaves_a_store_that_works(rbuild: Rbuild, context: Path, tmp_path: Path) -> None:
    """The later build succeeds, with the digest that an undisturbed store gives."""
    undisturbed = Rbuild(tmp_path / "undisturbed")
    started = time.monotonic()
    expected = built(undisturbed, context)
    whole = time.monotonic() - started
    undisturbed.clean()

    dice = random.Random(2)
    for _ in range(KILLS):
        kill_after(rbuild, context, dice.uniform(0, whole))
        assert built(rbuild, context) == expected
    time.sleep(1)
    assert not holding(rbuild.store)
