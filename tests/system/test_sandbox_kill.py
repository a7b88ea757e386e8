"""I-T4, I3: whatever ends the builder ends the step, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from builder.errors import Cancelled
from builder.sandbox import userns
from builder.sandbox.process import run
from tests.support.processes import alive, wait_until

if TYPE_CHECKING:
    from tests.support.rootfs import Place


def fork_builder(place: Place, marker: str) -> int:
    """A builder process that runs a step which, with a child in the background, sleeps for long."""
    command = place.command("sh", "-c", f"trap '' TERM INT HUP; sh -c 'sleep 777; : {marker}' & sleep 778; : {marker}")
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.alarm(60)  # should the test itself break
        try:
            userns.enter(place.tier)
            run(command, lambda stream, line: None, threading.Event())
        finally:
            os._exit(1)
    return pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_step_dies_with_the_builder(place: Place, number: signal.Signals) -> None:
    """By any signal, within a second, with its background children and mounts."""
    marker = f"rbuild-test-{os.getpid()}-{number}-{place.tier}"
    builder = fork_builder(place, marker)
    try:
        wait_until(lambda: len(alive(marker)) > 0)
    finally:
        os.kill(builder, number)
        os.waitpid(builder, 0)

    assert wait_until(lambda: not alive(marker)) < 1
    with open("/proc/self/mountinfo") as file:
        assert str(place.base) not in file.read()


def test_builder_killed_at_random_times_leaves_no_process(place: Place) -> None:
    """Before, during and after the start of the step."""
    marker = f"rbuild-test-{os.getpid()}-random-{place.tier}"
    for turn in range(40):
        builder = fork_builder(place, marker)
        time.sleep(turn * 0.0005)
        os.kill(builder, signal.SIGKILL)
        os.waitpid(builder, 0)

    wait_until(lambda: not alive(marker), 2)


def test_cancellation_kills_and_reaps_within_a_second(place: Place) -> None:
    """Though the step ignores signals and floods its output."""
    marker = f"rbuild-test-{os.getpid()}-cancel-{place.tier}"
    command = place.command("sh", "-c", f"trap '' TERM INT; yes {marker} & while :; do echo {marker}; done")

    def cancel_soon() -> tuple[float, bool]:
        flag = threading.Event()
        asked: list[float] = []

        def ask(stream: int, line: bytes) -> None:
            if not asked:
                asked.append(time.monotonic())
                flag.set()

        with pytest.raises(Cancelled):
            run(command, ask, flag)
        took = time.monotonic() - asked[0]
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return took, True
        return took, False

    took, reaped = place.inside(cancel_soon)

    assert took < 1
    assert reaped
    assert not alive(marker)


def test_an_exception_in_the_callback_kills_the_step(place: Place) -> None:
    """A broken renderer must not leave a process behind."""
    marker = f"rbuild-test-{os.getpid()}-callback-{place.tier}"
    command = place.command("sh", "-c", f"echo {marker}; sleep 1000; : {marker}")

    def fail(stream: int, line: bytes) -> None:
        raise ValueError("broken pipe")

    with pytest.raises(ValueError, match="broken pipe"):
        place.inside(lambda: run(command, fail, threading.Event()))
    assert not alive(marker)


def test_no_descriptor_is_left_open(place: Place) -> None:
    """After success, failure, refusal and cancellation."""
    commands = [place.command("true"), place.command("nope"), place.command("true", cwd="/nope")]

    def descriptors() -> tuple[int, int]:
        run(commands[0], lambda stream, line: None, threading.Event())
        before = len(os.listdir("/proc/self/fd"))
        for command in commands:
            try:
                run(command, lambda stream, line: None, threading.Event())
            except Exception:  # noqa: BLE001 (only what it leaves behind counts)
                continue
        return before, len(os.listdir("/proc/self/fd"))

    before, after = place.inside(descriptors)

    assert before == after
