"""The base image that cases with RUN are built on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.case import BUSYBOX, run_rbuild
from tests.support.tools import need_tool

APPLETS = "cat chmod chown echo env false hostname id ln ls mkdir printf pwd rm rmdir sh sleep stat test touch true wc"


@pytest.fixture(scope="session")
def busybox_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout with a static busybox and links to what cases call."""
    root = tmp_path_factory.mktemp("busybox")
    (root / "bin").mkdir()
    (root / "bin/busybox").write_bytes(Path(need_tool("busybox")).read_bytes())
    (root / "bin/busybox").chmod(0o755)
    for name in APPLETS.split():
        (root / "bin" / name).symlink_to("busybox")
    (root / "Dockerfile").write_text('FROM scratch\nCOPY bin /bin\nCMD ["sh"]\n')
    layout = root / BUSYBOX
    words = ["--isolation=none", f"--store={root}/store", f"--output=type=oci,tar=false,dest={layout}", "."]
    status, err = run_rbuild(words, root)
    assert status == 0, err
    return layout
