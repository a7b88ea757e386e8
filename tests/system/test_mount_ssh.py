"""RUN --mount=type=ssh with a real agent, and a real client inside the step."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.builds import build, write_context
from tests.support.tools import ROOT, need_tool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.command import Rbuild

RUN = "RUN --mount=type=ssh,required --mount=source=client,target=/client"


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """A context with a static program that counts the keys of its agent."""
    for name in ("ssh-agent", "ssh-add", "ssh-keygen"):
        need_tool(name)
    context = tmp_path / "c"
    context.mkdir()
    source = ROOT / "tests/support/agent_client.c"
    subprocess.run([need_tool("gcc"), "-static", "-o", context / "client", source], check=True)
    return context


def new_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """The socket of an agent with two keys."""
    path = tmp_path / "agent"
    running = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        while not path.exists():
            time.sleep(0.01)
        for name in ("one", "two"):
            environment = {**os.environ, "SSH_AUTH_SOCK": str(path)}
            subprocess.run(["ssh-add", "-q", new_key(tmp_path / name)], env=environment, check=True)
        yield path
    finally:
        running.kill()
        running.wait()


def lines(told: object) -> list[str]:
    return [event["line"] for event in told["StepLog"]]  # type: ignore[index]


def holds(root: Path, text: str) -> list[str]:
    found = subprocess.run(["grep", "-rlaF", text, root], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


def test_step_talks_to_the_agent(
    rbuild: Rbuild, base: str, tier: str, tmp_path: Path, client: Path, agent: Path
) -> None:
    write_context(client, f"FROM busybox\n{RUN} /client && /client\nRUN test ! -e /run/buildkit\n")
    (client / "client").chmod(0o755)

    assert lines(build(rbuild, f"--isolation={tier}", f"--ssh=default={agent}", client)) == ["2 keys", "2 keys"]


def test_step_talks_to_the_agent_of_the_session(
    rbuild: Rbuild, base: str, client: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    write_context(client, f"FROM busybox\n{RUN} /client\n")

    assert lines(build(rbuild, "--ssh=default", client)) == ["2 keys"]


def test_another_user_talks_to_it_when_the_mode_lets(
    rbuild: Rbuild, base: str, tier: str, tmp_path: Path, client: Path, agent: Path
) -> None:
    if tier == "single":
        pytest.skip("tier single has one user")
    text = "FROM busybox\nUSER 1000\n{0} /client; true\n{1} /client\n{2} /client\n"
    told = text.format(
        *(RUN.replace("required", f"required,{more}") for more in ("mode=0600", "mode=0666", "uid=1000"))
    )
    write_context(client, told)
    shown = lines(build(rbuild, f"--isolation={tier}", f"--ssh=default={agent}", client))

    assert shown == ["connect: Permission denied", "2 keys", "2 keys"]


def test_key_file_is_served_and_leaves_nothing(
    rbuild: Rbuild, base: str, tier: str, tmp_path: Path, client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    key = new_key(tmp_path / "key")
    write_context(client, f"FROM busybox\n{RUN} /client; stat -c '%a %F' $SSH_AUTH_SOCK\n")
    told = lines(build(rbuild, f"--isolation={tier}", f"--ssh=default={key}", client))

    assert told == ["1 keys", "600 socket"]
    assert holds(rbuild.store, "OPENSSH PRIVATE KEY") == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_agent_of_a_key_file_ends_with_a_killed_build(
    rbuild: Rbuild, base: str, tmp_path: Path, client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket lies where the next build sweeps."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    key = new_key(tmp_path / "key")
    write_context(client, f"FROM busybox\n{RUN} /client; echo up; sleep 60\n")
    running = rbuild.start("build", "--progress=plain", f"--ssh=default={key}", client)
    assert running.stdout
    for line in running.stdout:
        if line.rstrip().endswith(" up"):
            break
    (agent,) = agents_of(running.pid)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()

    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{agent}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{agent}")
    write_context(client, "FROM busybox\nRUN true\n")
    build(rbuild, client)
    assert sockets(rbuild.store) == sockets(tmp_path / "tmp") == []


def agents_of(builder: int) -> list[int]:
    """The agents that are children of a child of `builder`."""
    parents = {int(path.name): parent_of(path) for path in Path("/proc").iterdir() if path.name.isdecimal()}
    return [pid for pid, (name, parent) in parents.items() if name == "ssh-agent" and parents[parent][1] == builder]


def parent_of(process: Path) -> tuple[str, int]:
    try:
        name, rest = (process / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
    except OSError:
        return "", 0
    return name, int(rest.split()[1])


def sockets(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_socket()]
