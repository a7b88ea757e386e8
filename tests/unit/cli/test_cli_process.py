"""The command as a process: start-up, signals, pipes, help and completion."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from builder.cli.commands import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
# A program whose library is fake; `work` says what it does with (emit, cancelled).
PROGRAM = """
import sys
from tests.support.fake_rooms import Library, Store, rooms
from builder.cli.main import main
{work}
sys.exit(main(doors=rooms(Library(work), Store())))
"""
WAIT = "def work(emit, cancelled):\n    print('ready', flush=True)\n    cancelled.wait()"
STUBBORN = "import time\ndef work(emit, cancelled):\n    print('ready', flush=True)\n    time.sleep(60)"


@contextmanager
def started(work: str, *words: str, cwd: Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The program, running, after it has said that its build is under way."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM.format(work=work), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=cwd, env=environ, text=True, **pipes, **options) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return tmp_path


# What a well-formed command line may load before any other room is entered. Each name costs time on
# every cached build: add one only with a measurement.
ALLOWED = """
    __future__ _collections _functools _operator _signal _sre _thread _typing _weakrefset _weakref _warnings
    builder collections contextlib copyreg enum functools importlib itertools keyword operator re reprlib
    signal threading types typing warnings time _io json _json
    _collections_abc _stat genericpath os posixpath stat
"""
LINES = ["", "build -q --target x -t a .", "parse", "plan .", "images", "--version"]


@pytest.mark.parametrize("line", LINES)
def test_start_up_imports_little(context: Path, line: str) -> None:
    """No typer, click, rich, argparse, inspect or dataclasses on the way of a well-formed line."""
    code = (
        "import sys; before = set(sys.modules)\n"
        "from builder.cli.main import main\n"
        "from builder.cli.doors import Doors\n"
        "class Value:\n"
        "    digest = ''; tags = (); context = '.'; outputs = ()\n"
        "    all = dict\n"
        "store = Value(); store.tags = Value()\n"
        "doors = Doors(lambda: lambda **_: Value(), lambda *_: Value(), lambda _: '', lambda *_: '',\n"
        "              lambda _: store, lambda _: Value())\n"
        f"status = main({line.split()!r}, doors=doors)\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(status, *sorted(new), file=sys.stderr)"
    )
    # -S: site-packages may import anything, for reasons of their own.
    ran = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=context,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    status, *modules = ran.stderr.split()

    assert status == "0", ran.stderr
    assert set(modules) <= set(ALLOWED.split())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_cancels_the_build(context: Path, number: int, status: int) -> None:
    with started(WAIT, cwd=context) as process:
        began = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=10)

    assert process.returncode == status
    assert time.monotonic() - began < 1
    assert err == "error: the build was cancelled\n"


def test_a_second_interrupt_does_not_wait(context: Path) -> None:
    with started(STUBBORN, cwd=context) as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)

        assert process.wait(5) == 130


def test_an_ignored_signal_stays_ignored(context: Path) -> None:
    """nohup rbuild … survives the terminal."""
    nohup = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with started(WAIT, cwd=context, **nohup) as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)

        assert process.wait(5) == 143


def test_a_closed_pipe_is_no_error(context: Path) -> None:
    """`rbuild images | head -0` ends as any program that SIGPIPE ends, without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-m", "builder", "version"],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)

    assert (process.returncode, process.stderr) == (141, "")


def test_a_reader_of_the_progress_may_leave(context: Path) -> None:
    """`rbuild 2>&1 | head` does not fail the build."""
    work = (
        "from tests.support.sample_events import EVENTS\n"
        "def work(emit, cancelled):\n    for event in EVENTS:\n        emit(event)"
    )
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(work=work)],
        cwd=context,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=writer,
    )
    os.close(writer)

    assert process.returncode == 0


def rbuild(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    full = {**os.environ, "TERM": "dumb", "COLUMNS": "200", **environ}
    return subprocess.run([sys.executable, "-m", "builder", *words], cwd=ROOT, env=full, capture_output=True, text=True)


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_has_help_with_every_option_that_works(name: str) -> None:
    """`help X`, `X --help` and `X -h` say the same, from the table that the reader uses."""
    asked = [rbuild("help", name), rbuild(name, "--help"), rbuild(name, "-h")]
    options = next(command.options for command in COMMANDS if command.name == name)

    assert {(each.returncode, each.stdout, each.stderr) for each in asked} == {(0, asked[0].stdout, "")}
    for option in options:
        assert not option.supported or option.names[0] in asked[0].stdout
    assert f"Usage: rbuild {name}" in asked[0].stdout


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("help",), ("--target", "x", "--help")])
def test_help_lists_commands_and_the_options_of_build(words: tuple[str, ...]) -> None:
    ran = rbuild(*words)

    assert ran.returncode == 0
    assert "--target" in ran.stdout
    assert all(f"  {command.name} " in ran.stdout for command in COMMANDS)


def test_help_of_nothing_known() -> None:
    ran = rbuild("help", "nonsense")

    assert ran.returncode == 2
    assert ran.stderr == "error: no such command: nonsense\nhint: rbuild help lists the commands\n"


def test_completion_script() -> None:
    # Without the guess at the parent process, which in a test is no shell.
    ran = rbuild("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")

    assert ran.returncode == 0
    assert "_RBUILD_COMPLETE" in ran.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("rbuild im", "images"), ("rbuild --tar", "--target"), ("rbuild build --comp", "--compression"),
     ("rbuild build --network h", "host"), ("rbuild --network n", "none")],
)  # fmt: skip
def test_completion(typed: str, offered: str) -> None:
    """The shell asks through the environment, as it does for every program of click's family."""
    ran = rbuild(_RBUILD_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(len(typed.split()) - 1))

    assert ran.stdout.split() == [offered]


def test_standard_output_may_be_closed(context: Path) -> None:
    """`rbuild version >&-`: nothing to write to is no fault, and no file of ours gets the number 1."""
    ran = subprocess.run(["sh", "-c", f"{sys.executable} -m builder version >&-"], cwd=ROOT, capture_output=True)

    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("login -u ann --password-stdin quay.io", "the password is empty"),
        ("pull --creds - quay.io/x", "standard input ended before the password"),
    ],
)
def test_standard_input_may_be_closed(words: str, why: str) -> None:
    """`rbuild login --password-stdin <&-`: there is nothing on it, which is what is said."""
    ran = subprocess.run(["sh", "-c", f"{sys.executable} -m builder {words} <&-"], cwd=ROOT, capture_output=True)

    assert ran.returncode == 2
    assert why in ran.stderr.decode()


def test_a_full_disk_is_one_error(context: Path) -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "builder", "version"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )

    assert ran.returncode == 1
    assert (
        ran.stderr
        == "error: cannot write standard output: No space left on device\nhint: the disk is full: free some space\n"
    )
