"""A cached build is mostly start-up: what it may load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from builder.store.store import Store
from tests.support.command import Rbuild
from tests.support.images import put_image
from tests.test_architecture import HEAVY

PROGRAM = """
import sys
from builder.cli.entry import entry
sys.argv = ["rbuild", *sys.argv[1:]]
try:
    entry()
except SystemExit as exit:
    assert not exit.code, exit.code
print(*sorted(sys.modules))
"""


def test_a_cached_build_loads_nothing_heavy(rbuild: Rbuild, tmp_path: Path) -> None:
    """Neither does one on an image of the store load anything that could ask a registry."""
    with Store.open(str(rbuild.store)) as store:
        store.tags.set("docker.io/library/base:latest", put_image(store, {"f": b"1"}).manifest)
    (tmp_path / "Dockerfile").write_text("FROM base\nCOPY Dockerfile /\n")
    arguments = ["--progress=plain", "-t", "cached", str(tmp_path)]
    rbuild(*arguments)
    again = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=rbuild.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(again.stdout.splitlines()[-1].split())
    assert not loaded & HEAVY
    assert "builder.sandbox.process" not in loaded
    assert not loaded & {"builder.registry.registry", "builder.registry.routes", "builder.net.client", "socket", "ssl"}
