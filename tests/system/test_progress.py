"""What a build shows of real steps: plain lines for people and logs, JSON for programs, and why a step failed."""

from __future__ import annotations

import base64
import calendar
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.builds import build, write_context
from tests.support.command import Rbuild

FAILING = """\
FROM busybox AS builder
RUN echo fine
RUN seq 1 60; \\
    echo "giving up" >&2; \\
    exit 42
FROM scratch
COPY --from=builder /none /
"""


def plain(rbuild: Rbuild, *arguments: str | Path, status: int = 0) -> list[str]:
    return rbuild("--progress=plain", *arguments, status=status).stderr.splitlines()


def test_every_line_begins_with_its_stage_and_step(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """H2: the output of stages that run at once can be told apart with grep."""
    loud = "RUN for n in 1 2 3; do echo {0} $n; echo error $n >&2; done; printf {0}"
    dockerfile = "".join(f"FROM busybox AS {stage}\n{loud.format(stage)}\n" for stage in ("one", "two"))
    dockerfile += "FROM scratch\nCOPY --from=one /bin/sh /1\nCOPY --from=two /bin/sh /2\n"
    lines = plain(rbuild, write_context(tmp_path / "c", dockerfile))
    for stage in ("one", "two"):
        mine = [line for line in lines if line.startswith(f"[{stage} 2/2] ")]
        assert mine[0] == f"[{stage} 2/2] {loud.format(stage)}"
        said = [line.split(" ", 3)[3] for line in mine[1:-1]]
        assert [line for line in said if line.startswith(stage)] == [f"{stage} 1", f"{stage} 2", f"{stage} 3", stage]
        assert [line for line in said if not line.startswith(stage)] == ["error 1", "error 2", "error 3"]
        assert re.fullmatch(rf"\[{stage} 2/2\] DONE \d+\.\d+s", mine[-1])
    begin, *steps, image, end = lines
    assert begin.startswith("building ") and image.startswith("image sha256:") and end.startswith("finished in ")
    assert all(re.match(r"\[(one|two|stage-2)( \d/\d)?\] ", line) for line in steps)


def test_plain_is_what_a_pipe_gets(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    context = write_context(tmp_path / "c", "FROM busybox\nRUN echo hello\n")
    lines = rbuild("build", context).stderr.splitlines()
    assert any(re.fullmatch(r"\[stage-0 2/2\] \d+\.\d+ hello", line) for line in lines)


def test_a_failing_run_explains_itself(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """Stage, step, exit code, last lines, and the Dockerfile with the lines marked; exit status 1."""
    lines = plain(rbuild, write_context(tmp_path / "c", FAILING), status=1)
    report = lines[next(n for n, line in enumerate(lines) if line.startswith("last lines of")) :]
    error = next(n for n, line in enumerate(report) if line.startswith("error: "))
    assert report[0].startswith("last lines of [builder 3/3] RUN seq 1 60;")
    assert report[1:error][-3:] == ["  59", "  60", "  giving up"]
    assert len(report[1:error]) == 50
    assert re.match(rf"error: {re.escape(str(tmp_path / 'c/Dockerfile'))}:3: .*exit code 42$", report[error])
    assert "stage builder" in report[error + 1] and "exit code 42" in report[error + 1]
    assert [line for line in report[error:] if ">>>" in line] == [
        " >>> 3 | RUN seq 1 60; \\",
        ' >>> 4 |     echo "giving up" >&2; \\',
        " >>> 5 |     exit 42",
    ]
    assert "     2 | RUN echo fine" in report and "     6 | FROM scratch" in report


def test_a_failing_copy_and_a_wrong_line_are_marked_too(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    lines = plain(rbuild, write_context(tmp_path / "c", "FROM scratch\nCOPY absent /\n"), status=1)
    assert " >>> 2 | COPY absent /" in lines
    lines = plain(rbuild, write_context(tmp_path / "d", "FROM scratch\nCOYP a /\n"), status=1)
    assert " >>> 2 | COYP a /" in lines
    assert any("did you mean COPY?" in line for line in lines)


def test_a_step_that_a_signal_ends_is_told_by_its_number(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    told = build(rbuild, write_context(tmp_path / "c", "FROM busybox\nRUN sh -c 'kill -9 $$' || exit $?\n"), status=1)
    assert told.error["exit_code"] == 137


def test_json_is_valid_on_every_line(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """Also for output that is not text."""
    dockerfile = "FROM busybox\nRUN printf '\\377\\000\\033[31m \"\\\\\\n'; echo 'ünï' >&2\n"
    run = rbuild("--progress=json", write_context(tmp_path / "c", dockerfile))
    assert run.stdout == ""
    events = [json.loads(line) for line in run.stderr.splitlines()]
    assert all(isinstance(event["event"], str) and isinstance(event["time"], float) for event in events)
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-2:]) == ("BuildStarted", ["ImageReady", "BuildFinished"])
    assert {event["line"] for event in events if event["event"] == "StepLog" and event["stream"] == 2} == {"ünï"}


def test_a_failed_build_ends_with_an_error_line(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    told = build(rbuild, write_context(tmp_path / "c", FAILING), status=1)
    error = told.events[-1]
    assert (error["event"], error["status"], error["stage"], error["exit_code"]) == ("Error", 1, "builder", 42)
    assert (error["span"]["first"], error["span"]["last"]) == (3, 5)
    assert error["tail"][-2:] == ["60", "giving up"]
    assert told.stages("StepFailed") == {"builder"}


def test_quiet_prints_the_digest_alone(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    context = write_context(tmp_path / "c", "FROM busybox\nRUN echo loud\n")
    run = rbuild("--quiet", context)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", run.stdout)
    assert run.stderr == ""


LINES = 100_000


def test_no_output_is_lost_and_memory_stays_flat(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """H-T2, with fewer lines: all of them are shown, and kept in the log of the step."""
    few = write_context(tmp_path / "few", "FROM busybox\nRUN seq 1 10\n")
    many = write_context(
        tmp_path / "many", f"FROM busybox\nRUN i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; done\n"
    )
    small, _ = _measured(rbuild, few, tmp_path / "few.out")
    large, output = _measured(rbuild, many, tmp_path / "many.out")
    shown = re.findall(r"^\[stage-0 2/2\] [\d.]+ line (\d+)$", output, re.MULTILINE)
    assert shown == [str(n) for n in range(1, LINES + 1)]
    logs = [path.read_text().splitlines() for path in rbuild.store.glob("logs/*/*.log")]
    assert [f"line {n}" for n in range(1, LINES + 1)] in logs
    assert large < small + 20_000


def _measured(rbuild: Rbuild, context: Path, output: Path) -> tuple[int, str]:
    """The most memory that the build had, in KiB, and what it showed."""
    with output.open("w") as file:
        process = subprocess.Popen(
            [rbuild.command, "--progress=plain", str(context)], env=rbuild.environment, stderr=file
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = output.read_text()
    assert process.returncode == 0, text[-2000:]
    return usage.ru_maxrss, text


@pytest.mark.parametrize("mode", ["plain", "json"])
def test_a_reader_that_goes_away_does_not_stop_the_build(rbuild: Rbuild, base: str, tmp_path: Path, mode: str) -> None:
    context = write_context(tmp_path / "c", "FROM busybox\nRUN seq 1 20000\n")
    build = subprocess.Popen(
        [rbuild.command, f"--progress={mode}", str(context)],
        env=rbuild.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert build.stderr
    assert build.stderr.readline()
    build.stderr.close()
    assert build.wait(60) == 0
    assert "0 executed" in plain(rbuild, context)[-1]


def test_rawjson_tells_of_the_steps_that_the_plan_has(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """Digests and inputs are those of the ops, times are of the day; the reason of a failure follows as text."""
    began = time.time()
    lines = rbuild("--progress=rawjson", write_context(tmp_path / "c", FAILING), status=1).stderr.splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    last = {vertex["digest"]: vertex for line in told for vertex in line.get("vertexes", [])}
    named = {vertex["name"].partition("]")[0]: vertex for vertex in last.values()}

    assert named["[builder 2/3"]["inputs"] == [named["[builder 1/3"]["digest"]]
    assert named["[builder 3/3"]["inputs"] == [named["[builder 2/3"]["digest"]]
    assert "42" in named["[builder 3/3"]["error"] and "error" not in named["[builder 2/3"]
    seconds = calendar.timegm(time.strptime(named["[builder 3/3"]["started"].split(".")[0], "%Y-%m-%dT%H:%M:%S"))
    assert began - 2 <= seconds <= time.time() + 2
    logged = [base64.b64decode(log["data"]) for line in told for log in line.get("logs", [])]
    assert logged[0] == b"fine\n" and logged[-1] == b"giving up\n"
    assert any(re.match(r"error: .*/c/Dockerfile:3: .*exit code 42$", line) for line in lines)
