"""I-T4: whatever ends the builder ends its steps at once, and leaves no process, no mount, and a store that works."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builds import build, write_context
from tests.support.command import Rbuild
from tests.support.processes import alive, holding, wait_until

# The step ignores what it can, and has a child in the background that holds its output open.
DOCKERFILE = """\
FROM busybox AS one
RUN echo kept >/kept
ARG SECONDS
RUN trap '' INT TERM HUP; sleep $SECONDS & sleep $SECONDS; echo one >/one
FROM busybox AS two
ARG SECONDS
RUN trap '' INT TERM HUP; sleep $SECONDS; echo two >/two
FROM scratch
COPY --from=one /kept /one /
COPY --from=two /two /
"""


class Running:
    """A build whose steps sleep for a number of seconds that tells them from everybody else's."""

    def __init__(self, rbuild: Rbuild, context: Path, temporary: Path) -> None:
        self.rbuild = rbuild
        self.context = context
        self.temporary = temporary
        self.marker = str(random.randrange(10**8, 10**9))
        arguments = ["--progress=plain", "--jobs=2", f"--build-arg=SECONDS={self.marker}"]
        self.process = rbuild.start(*arguments, context)
        wait_until(lambda: self.sleeps() >= 3, 60)

    def sleeps(self) -> int:
        return sum(_command(pid).startswith(f"sleep\0{self.marker}") for pid in alive(self.marker))

    def end(self) -> tuple[int, float, str]:
        """Exit status, how long that took, and the output."""
        begin = time.monotonic()
        output, _ = self.process.communicate(timeout=60)
        return self.process.returncode, time.monotonic() - begin, output

    def assert_nothing_is_left(self) -> None:
        wait_until(lambda: not alive(self.marker), 5)
        assert not holding(self.rbuild.store)
        assert str(self.rbuild.store) not in Path("/proc/self/mountinfo").read_text()
        assert not os.listdir(self.temporary)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture
def running(rbuild: Rbuild, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    started = Running(rbuild, write_context(tmp_path / "c", DOCKERFILE), temporary)
    yield started
    if started.process.poll() is None:
        os.killpg(started.process.pid, signal.SIGKILL)
        started.process.communicate()


def assert_the_next_build_works(running: Running) -> None:
    """It has what was finished from the cache, and sweeps what the dead one left."""
    again = build(running.rbuild, "--build-arg=SECONDS=0", running.context)
    assert "RUN echo kept >/kept" in again.steps("StepCached")
    assert not os.listdir(running.rbuild.store / "tmp")
    assert build(running.rbuild, "--build-arg=SECONDS=0", running.context).digest == again.digest


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_everything_at_once(running: Running, number: signal.Signals, status: int) -> None:
    """As ctrl-C does it: to the whole process group."""
    os.killpg(running.process.pid, number)
    returned, seconds, output = running.end()
    assert returned == status, output
    assert seconds < 5  # within one on a machine that is not busy
    assert "Traceback" not in output
    assert "[one 3/3] CANCELLED" in output and "[two 2/2] CANCELLED" in output
    assert "[one 2/3] DONE" in output
    running.assert_nothing_is_left()
    assert not os.listdir(running.rbuild.store / "tmp")
    assert_the_next_build_works(running)


def test_the_second_signal_does_not_ask(running: Running) -> None:
    os.kill(running.process.pid, signal.SIGINT)
    os.kill(running.process.pid, signal.SIGINT)
    returned, _, output = running.end()
    assert returned == 130, output
    running.assert_nothing_is_left()
    assert_the_next_build_works(running)


@pytest.mark.parametrize("whom", ["the builder", "its process group"])
def test_a_killed_builder_takes_its_steps_along(running: Running, whom: str) -> None:
    """SIGKILL cannot be caught: the kernel ends the steps, and the next build sweeps tmp/."""
    kill = os.kill if whom == "the builder" else os.killpg
    kill(running.process.pid, signal.SIGKILL)
    running.process.communicate(timeout=60)
    assert running.process.returncode == -signal.SIGKILL
    running.assert_nothing_is_left()
    assert os.listdir(running.rbuild.store / "tmp")
    assert_the_next_build_works(running)


def test_an_interrupted_build_tells_programs_too(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    marker = str(random.randrange(10**8, 10**9))
    context = write_context(tmp_path / "c", f"FROM busybox\nRUN sleep {marker}\n")
    process = rbuild.start("--progress=json", context)
    wait_until(lambda: alive(f"sleep\0{marker}"), 60)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert '"event": "StepCancelled"' in output
    assert '"status": 130' in output.splitlines()[-1]


def test_a_stopped_reader_does_not_keep_the_builder(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """`rbuild | less`, and ctrl-C while the pipe is full."""
    context = write_context(tmp_path / "c", "FROM busybox\nRUN yes\n")
    process = subprocess.Popen(
        [rbuild.command, "--progress=plain", str(context)],
        env=rbuild.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    time.sleep(3)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(30)
    assert process.stderr
    process.stderr.close()
    assert process.returncode == 130
    wait_until(lambda: not holding(rbuild.store), 5)
