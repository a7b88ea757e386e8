"""The live view: what it draws, and that it behaves on a real terminal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

from builder import events
from builder.progress.picture import Row, Running, picture
from builder.progress.tty import Tty
from tests.support.sample_events import BASE, EVENTS


def running(count: int, tail: int = 0) -> tuple[Running, ...]:
    lines = tuple(f"line {number}" for number in range(tail))
    return tuple(Running(f"[s{number} 1/1] RUN x", 10.0, lines) for number in range(count))


def test_a_step_is_drawn_with_its_time_and_last_lines() -> None:
    assert picture(running(1, tail=2), now=12.5, height=24) == [
        Row("step", "     2.5s [s0 1/1] RUN x"),
        Row("output", "          │ line 0"),
        Row("output", "          │ line 1"),
    ]


def test_a_step_that_brings_layers_says_how_much_is_here() -> None:
    step = running(1)[0].brought("a", 1_000, 2_000_000).brought("b", 500, 1_000_000).brought("a", 1_500_000, 2_000_000)
    assert picture((step,), now=12.5, height=24) == [Row("step", "     2.5s [s0 1/1] RUN x 1.5 MB of 3.0 MB")]


@pytest.mark.parametrize("height", range(1, 30))
@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_the_picture_always_fits(count: int, height: int) -> None:
    """A picture higher than the terminal could not be redrawn in place."""
    rows = picture(running(count, tail=6), now=11.0, height=height)

    assert len(rows) <= max(1, height - 1)
    if count > max(1, height - 1):
        assert rows[-1].style == "more"


def test_only_the_last_lines_are_kept() -> None:
    step = Running("x", 0.0)
    for number in range(100):
        step = step.heard(str(number))

    assert step.tail == ("94", "95", "96", "97", "98", "99")


def test_a_cached_build_does_not_pay_for_the_live_view() -> None:
    """No import of rich and no thread, until a step really runs."""
    code = (
        "import io, sys, threading; from builder import events; from builder.progress.tty import Tty\n"
        "tty = Tty(io.StringIO())\n"
        "tty(events.BuildStarted(0.0, 'Dockerfile', '', 1, 'none'))\n"
        "tty(events.StepCached(0.0, '1', 'base', 'x', None))\n"
        "tty(events.BuildFinished(0.0, 0.1, 1, 0)); tty.close()\n"
        "assert 'rich' not in sys.modules and threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_colour_there_is_no_escape_sequence_for_one() -> None:
    stream = io.StringIO()
    tty = Tty(stream, colour=False)
    tty(events.StepCached(0.0, "1", "base", BASE, None))
    tty.close()

    assert stream.getvalue() == f"✓  cached {BASE}\n"


class Terminal:
    """A pty whose screen side is read by a thread."""

    def __init__(self, rows: int, columns: int) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.stream = os.fdopen(self.slave, "w", encoding="utf-8", errors="backslashreplace")
        self._seen = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        try:
            while piece := os.read(self.master, 65536):
                self._seen += piece
        except OSError:
            pass

    def close(self) -> str:
        self.stream.close()
        self._reader.join(5)
        os.close(self.master)
        return self._seen.decode("utf-8", "replace")


@pytest.fixture(autouse=True)
def _own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich prefers COLUMNS and LINES of the environment to what the terminal says."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def play(rows: int, columns: int, colour: bool = True) -> str:
    terminal = Terminal(rows, columns)
    tty = Tty(terminal.stream, colour=colour)
    for event in EVENTS:
        tty(event)
        time.sleep(0.02)
    tty.close()
    return terminal.close()


def test_finished_steps_stay_and_the_cursor_comes_back() -> None:
    seen = play(24, 100)

    assert "✓    3.2s [build-client 1/1] RUN go build" in seen
    assert "✗    3.8s [build-server 1/1] RUN <<EOF go build EOF: exit code 2" in seen
    assert "│ go: downloading" in seen
    assert "\x1b[2J" not in seen
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")


@pytest.mark.parametrize(("rows", "columns"), [(24, 1), (24, 12), (1, 80), (2, 5), (3, 40)])
def test_narrow_terminals(rows: int, columns: int) -> None:
    """Whatever the size, the result is said in full."""
    seen = play(rows, columns)

    assert "docker.io/library/client:latest" in seen.replace("\r\n", "")


def test_no_colour() -> None:
    """NO_COLOR forbids colours; weights and cursor movement are no colours."""
    seen = play(24, 80, colour=False)

    assert not re.search(r"\x1b\[(?:\d+;)*(?:3[0-7]|38|4[0-7]|9[0-7])(?:;\d+)*m", seen)


def test_resize_while_running() -> None:
    """Rows are cut at the width that the terminal has now."""
    terminal = Terminal(24, 120)
    tty = Tty(terminal.stream)
    tty(events.StepStarted(time.monotonic(), "1", "a", "[a 1/1] RUN " + "x" * 300, None))
    terminal.resize(5, 30)
    time.sleep(0.3)
    tty(events.StepFinished(time.monotonic(), "1", "a", "[a 1/1] RUN x", 0.3))
    tty.close()
    seen = terminal.close()

    assert re.search(r"\[a 1/1\] RUN x{1,8}…", seen)


def test_many_threads() -> None:
    """Steps log from several threads while the view is redrawn: no deadlock, all ends are shown."""
    from builder.progress.renderer import Serial

    terminal = Terminal(24, 80)
    show = Serial(Tty(terminal.stream))

    def work(name: str) -> None:
        show(events.StepStarted(time.monotonic(), name, name, f"[{name} 1/1] RUN x", None))
        for number in range(300):
            show(events.StepLog(time.monotonic(), name, 1, f"line {number}"))
        show(events.StepFinished(time.monotonic(), name, name, f"[{name} 1/1] RUN x", 1.0))

    threads = [threading.Thread(target=work, args=(f"s{number}",), daemon=True) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    show.close()
    seen = terminal.close()

    assert all(f"1.0s [s{number} 1/1] RUN x" in seen for number in range(6))
