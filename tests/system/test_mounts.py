"""RUN --mount with real sandboxes: what mounts must not leave, show, change or reach."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.builds import build, write_context

if TYPE_CHECKING:
    import io
    from pathlib import Path

    from tests.support.command import Rbuild

TOKEN = "hunter22-canary"


def lines(told: object) -> list[str]:
    return [event["line"] for event in told["StepLog"]]  # type: ignore[index]


def holds(root: Path, text: str) -> list[str]:
    """The files below `root` that have `text` in them, in their name or in an attribute."""
    found = subprocess.run(["grep", "-rlaF", text, root], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


def test_secret_is_nowhere_in_the_store_and_masked_where_it_is_shown(
    rbuild: Rbuild, base: str, tmp_path: Path, token: Path
) -> None:
    """H-T5: layers, keys, history, logs. The same value is hidden in names and failures, too."""
    context = write_context(
        tmp_path / "c",
        f"FROM busybox\nRUN --mount=type=secret,id=s,env=V cat /run/secrets/s; echo a${{V}}z\n"
        f"RUN echo {TOKEN}; false\n",
    )
    run = rbuild("build", "--progress=plain", f"--secret=id=s,src={token}", "-t", "x", context, status=1)

    assert "a****z" in run.stderr and "RUN echo ****; false" in run.stderr
    assert TOKEN not in run.stdout
    assert holds(rbuild.store / "logs", TOKEN) == []
    assert [path for path in holds(rbuild.store, TOKEN) if "/tmp/" in path or "/mounts/" in path] == []


def test_other_value_of_a_secret_is_no_other_key(rbuild: Rbuild, base: str, tmp_path: Path, token: Path) -> None:
    context = write_context(tmp_path / "c", "FROM busybox\nRUN --mount=type=secret,id=s,env=V true\n")
    build(rbuild, f"--secret=id=s,src={token}", context)
    token.write_text("another")

    assert build(rbuild, f"--secret=id=s,src={token}", context).steps("StepStarted") == []


SECRET = f"{TOKEN}\n}}\n  second-{TOKEN}\n"
SHOW = (
    "cat /run/secrets/s; echo a${V}z; $V; set -x; : $V; set +x; head -c 65530 /dev/zero | tr '\\0' x; "
    "head -c 15 /run/secrets/s; head -c 70000 /dev/zero | tr '\\0' y; echo"
)
ENDS = {"success": "", "failure": "; exit 3", "kill": "; echo up; sleep 60"}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("mode", ["plain", "tty", "json"])
def test_secret_is_nowhere(
    rbuild: Rbuild, base: str, tier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, end: str
) -> None:
    """H-T5: not in the store, nor in temporary files, nor in what is shown, however the build ends.

    It lives in a tmpfs of a mount namespace that dies with the step.
    """
    for name in ("secrets", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "secrets/s").write_text(SECRET)
    script = f"RUN --mount=type=secret,id=s --mount=type=secret,id=v,env=V {SHOW}{ENDS[end]}\n"
    context = write_context(tmp_path / "c", f"FROM busybox\n{script}")
    (tmp_path / "secrets/v").write_text(TOKEN)
    given = [f"--secret=id={name},src={tmp_path}/secrets/{name}" for name in "sv"]
    words = ["build", f"--progress={mode}", f"--isolation={tier}", *given, "-t", "x", "-o", f"{tmp_path}/out"]
    shown = on_terminal(rbuild, [*words, str(context)], b"up" if end == "kill" else b"")

    assert mode == "tty" or b"a****z" in shown
    assert TOKEN.encode() not in shown and b"hunter22" not in shown
    assert holds(rbuild.store, TOKEN) == holds(tmp_path / "tmp", TOKEN) == []
    assert (tmp_path / "out").exists() == (end == "success")
    assert end != "success" or holds(tmp_path / "out", TOKEN) == []


def on_terminal(rbuild: Rbuild, words: list[str], kill_at: bytes) -> bytes:
    """All that a build shows; with `kill_at` it is killed once a line ends with that."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [rbuild.command, *words], env=rbuild.environment, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        while piece := _read(terminal):
            shown += piece
            if kill_at and re.search(rb"\b%b\b" % kill_at, shown.split(b"up; sleep")[-1]):
                os.killpg(running.pid, signal.SIGKILL)
    assert (running.wait() == -signal.SIGKILL) == bool(kill_at)
    return shown


def _read(terminal: io.FileIO) -> bytes:
    try:
        return terminal.read(1 << 16) or b""
    except OSError:  # nobody has the other end open any more
        return b""


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        (lambda c: (c / "d/a").write_text("changed"), True),
        (lambda c: (c / "d/a").chmod(0o600), True),
        (lambda c: (c / "d/new").touch(), True),
        (lambda c: (c / "d").chmod(0o700), True),
        (lambda c: os.utime(c / "d/a", (1, 1)), False),
        (lambda c: (c / "beside").write_text("2"), False),
        (lambda c: (c / "d/ignored").write_text("2"), False),
    ],
)
def test_bind_of_the_context_is_keyed_by_its_content(
    rbuild: Rbuild, base: str, tmp_path: Path, change: object, runs: bool
) -> None:
    files = {"d/a": "a", "beside": "1", "d/ignored": "1", ".dockerignore": "d/ignored\n"}
    context = write_context(tmp_path / "c", "FROM busybox\nRUN --mount=source=d,target=/d cat /d/a\n", files)
    build(rbuild, context)
    change(context)  # type: ignore[operator]

    assert bool(build(rbuild, context).steps("StepStarted")) == runs


def test_bind_of_a_stage_is_keyed_by_the_stage(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """Not by how the stage is written: a comment or a name is no input."""
    text = "FROM busybox AS {0}\nRUN echo {1} >/f\nFROM busybox\nRUN --mount=from={0},target=/s cat /s/f\n"
    context = write_context(tmp_path / "c", text.format("one", 1))
    build(rbuild, context)

    write_context(context, "# words\n" + text.format("two", 1))
    assert build(rbuild, context).steps("StepStarted") == []
    write_context(context, text.format("one", 2))
    assert lines(build(rbuild, context)) == ["2"]


def test_hostile_links_stay_inside(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """K2, K9: links of a source lead within that source, links of the image within the image."""
    canary = tmp_path / "canary"
    canary.mkdir()
    context = write_context(
        tmp_path / "c",
        f"FROM busybox AS s\nRUN ln -s {canary} /up && ln -s ../../../../../..{canary} /dots\n"
        f"FROM busybox\nRUN mkdir -p {canary} /x && ln -s {canary} /x/t\n"
        "RUN --mount=type=cache,target=/x/t/deep touch /x/t/deep/f\n"
        "RUN --mount=from=s,source=up,target=/y true\n",
    )
    error = build(rbuild, context, status=1).error

    assert '"/up": not found' in error["message"]
    assert list(canary.iterdir()) == []


def test_swapped_links_of_the_context_never_show_the_host(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """K3: source=a/b while somebody swaps a for a link to a directory outside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b").write_text("outside")
    context = write_context(tmp_path / "c", "FROM busybox\nRUN --mount=source=a/b,target=/b cat /b\n", {"a/b": "in"})
    (context / "link").symlink_to(outside)
    moves = "os.rename('a', 'x'); os.rename('link', 'a'); os.rename('a', 'link'); os.rename('x', 'a')"
    swap = f"import os\nwhile True: {moves}"
    swapper = subprocess.Popen(["python3", "-c", swap], cwd=context)
    try:
        for _ in range(5):
            run = subprocess.run(
                [rbuild.command, "build", "--no-cache", context],
                env=rbuild.environment,
                capture_output=True,
                check=False,
            )
            assert b"outside\n" not in run.stderr.replace(str(outside).encode(), b"")
    finally:
        swapper.kill()
        swapper.wait()


def test_cache_begins_anew_without_cache(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """Once a build: its own steps share what it has begun."""
    run = "RUN --mount=type=cache,target=/c echo $(cat /c/f) {}; echo {} >/c/f\n"
    context = write_context(tmp_path / "c", "FROM busybox\n" + run.format(1, 1) + run.format(2, 2))

    told = [line for line in lines(build(rbuild, "--no-cache", context)) if "can't open" not in line]
    assert told == ["1", "1 2"]


def test_locked_cache_is_used_by_one_and_waiting_can_be_stopped(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    context = write_context(
        tmp_path / "c",
        "FROM busybox\nRUN --mount=type=cache,target=/c,sharing=locked echo up; sleep 60\n",
    )
    holder = rbuild.start("build", "--progress=plain", context)
    assert holder.stdout
    for line in holder.stdout:
        if line.rstrip().endswith(" up"):
            break
    waiter = rbuild.start("build", "--no-cache", "--progress=plain", context)
    time.sleep(2)
    assert waiter.poll() is None
    waiter.send_signal(signal.SIGINT)
    out, _ = waiter.communicate(timeout=10)
    os.killpg(holder.pid, signal.SIGKILL)
    holder.communicate()

    assert waiter.returncode == 130
    assert " up\n" not in out


def test_private_cache_in_use_is_another_directory(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """Two steps of one build that run at once."""
    run = "RUN --mount=type=cache,id=c,target=/c,sharing=private touch /c/{0}; sleep 1; ls /c >/{0}\n"
    text = f"FROM busybox AS a\n{run.format('a')}FROM busybox AS b\n{run.format('b')}"
    text += "FROM busybox\nRUN --mount=from=a,target=/a --mount=from=b,target=/b cat /a/a /b/b\n"
    context = write_context(tmp_path / "c", text)

    assert lines(build(rbuild, "--jobs=4", context)) == ["a", "b"]
