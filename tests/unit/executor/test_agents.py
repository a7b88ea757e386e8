"""The socket of an ssh mount passes on what the agent of the host, or one of our own, answers."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from builder.errors import BuildError
from builder.executor.agents import forward
from builder.graph.ops import MountPoint

if TYPE_CHECKING:
    from pathlib import Path

MOUNT = MountPoint("ssh", "/s", id="default", mode=0o600)

pytestmark = pytest.mark.skipif(not shutil.which("ssh-agent"), reason="ssh-agent is not installed")


def listed(path: str) -> str:
    environment = {**os.environ, "SSH_AUTH_SOCK": path}
    return subprocess.run(["ssh-add", "-l"], env=environment, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "of-the-test", "-f", path], check=True)
    return path


def test_key_file_is_served_while_the_step_runs(tmp_path: Path, key: Path) -> None:
    with ExitStack() as stack:
        path = forward(MOUNT, {"default": (str(key),)}, str(tmp_path / "room"), stack, many_ids=False)
        assert path
        assert oct(os.stat(path).st_mode & 0o777) == "0o600"
        assert "of-the-test" in listed(path)
        assert "of-the-test" in listed(path)

    assert "of-the-test" not in listed(path)


def test_socket_is_passed_on(tmp_path: Path, key: Path) -> None:
    with ExitStack() as stack:
        first = forward(MOUNT, {"default": (str(key),)}, str(tmp_path / "room"), stack, many_ids=False)
        second = forward(MOUNT, {"default": (str(first),)}, str(tmp_path / "other"), stack, many_ids=False)

        assert "of-the-test" in listed(str(second))


def test_key_that_is_none_is_an_error(tmp_path: Path, key: Path) -> None:
    key.write_text("nonsense")

    with ExitStack() as stack, pytest.raises(BuildError, match="cannot use the key"):
        forward(MOUNT, {"default": (str(key),)}, str(tmp_path / "room"), stack, many_ids=False)


def test_agent_that_was_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)

    with ExitStack() as stack:
        assert forward(MOUNT, {}, str(tmp_path / "room"), stack, many_ids=False) is None
        with pytest.raises(BuildError, match="SSH_AUTH_SOCK is not set"):
            forward(MOUNT, {"default": ()}, str(tmp_path / "other"), stack, many_ids=False)
