"""Docker's guide to multi-stage builds: the Dockerfiles of examples/multistage unchanged, and what stages do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from tests.support.builds import GUIDE, Build, build, build_go, write_context
from tests.support.command import Rbuild
from tests.support.tools import need_tool


def source(program: str) -> str:
    """What the stand-in compiler makes of a program."""
    return (GUIDE / "cmd" / program / "main.go").read_text()


def files_of(rbuild: Rbuild, tmp_path: Path, *arguments: str | Path) -> dict[str, str]:
    """The regular files in the root file system of a build."""
    tar = tmp_path / "files.tar"
    rbuild("build", "-o", f"type=tar,dest={tar}", *arguments)
    with tarfile.open(tar) as archive:
        members = [member for member in archive if member.isreg()]
        return {member.name: archive.extractfile(member).read().decode("latin-1") for member in members}  # type: ignore[union-attr]


# The four shapes


def test_shape_1_has_everything_in_one_image(rbuild: Rbuild, golang: str, tmp_path: Path) -> None:
    files = files_of(rbuild, tmp_path, "-f", GUIDE / "Dockerfile.1-single", GUIDE)
    assert files["bin/server"] == source("server")
    assert files["bin/client"] == source("client")
    assert {"src/go.mod", "usr/local/go/bin/go", "bin/busybox"} <= files.keys()


@pytest.mark.parametrize("dockerfile", ["Dockerfile.2-scratch", "Dockerfile.3-named"])
def test_shapes_2_and_3_have_the_two_programs_and_nothing_else(
    rbuild: Rbuild, golang: str, tmp_path: Path, dockerfile: str
) -> None:
    files = files_of(rbuild, tmp_path, "-f", GUIDE / dockerfile, GUIDE)
    assert files == {"bin/client": source("client"), "bin/server": source("server")}


@pytest.mark.parametrize("target", ["client", "server"])
def test_shape_4_has_the_program_of_the_target(rbuild: Rbuild, golang: str, tmp_path: Path, target: str) -> None:
    files = files_of(rbuild, tmp_path, "--target", target, "-t", f"buildme-{target}", GUIDE)
    assert files == {f"bin/{target}": source(target)}
    assert f'"/bin/{target}"' in rbuild("inspect", f"buildme-{target}").stdout


# Targets


def test_a_target_runs_nothing_of_a_stage_that_it_does_not_need(rbuild: Rbuild, golang: str) -> None:
    """B-T8: no event of `build --target client` tells of build-server or server."""
    client = build(rbuild, "--target", "client", "-t", "buildme-client", GUIDE)
    assert {event["stage"] for event in client.events if "stage" in event} == {"base", "build-client", "client"}
    assert "RUN go build -o /bin/client ./cmd/client" in client.steps("StepFinished")
    assert not [event for event in client.events if "build-server" in json.dumps(event)]


def test_the_next_target_has_what_they_share_from_the_cache(rbuild: Rbuild, golang: str) -> None:
    client = build(rbuild, "--target", "client", GUIDE)
    server = build(rbuild, "--target", "server", GUIDE)
    shared = [event["id"] for event in client["StepFinished"] if event["stage"] == "base"]
    assert len(shared) == 5
    assert [event["id"] for event in server["StepCached"]] == shared
    assert server.stages("StepCached") == {"base"}
    assert server.stages("StepStarted") == {"build-server", "server"}


def test_a_failing_run_in_a_stage_that_nobody_needs_fails_nothing(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """B-T8"""
    dockerfile = """
        FROM busybox AS broken
        RUN exit 9
        FROM no-such-image AS absent
        COPY no-such-file /
        FROM busybox
        RUN echo works
    """
    told = build(rbuild, write_context(tmp_path / "c", dockerfile))
    assert told.stages("StepStarted") == {"stage-2"}
    assert build(rbuild, "--target", "broken", tmp_path / "c", status=1).error["exit_code"] == 9


def test_an_unknown_target_is_told_the_names(rbuild: Rbuild, tmp_path: Path) -> None:
    error = build(rbuild, "--target", "clinet", GUIDE, status=1).error
    assert "'clinet'" in error["message"]
    assert {"base", "build-client", "build-server", "client", "server"} <= set(re.findall(r"[\w-]+", error["hint"]))
    assert error["hint"].startswith("did you mean client?")


# At once


def overlap(told: Build, one: str, other: str) -> bool:
    (begin, end), (other_begin, other_end) = told.interval(one), told.interval(other)
    return begin < other_end and other_begin < end


def test_the_two_stages_of_shape_3_overlap_in_time(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """B-T8"""
    build_go(rbuild, tmp_path / "golang", seconds=2)
    told = build(rbuild, "-f", GUIDE / "Dockerfile.3-named", GUIDE)
    assert overlap(told, "build-client", "build-server")


def test_with_one_job_nothing_overlaps(rbuild: Rbuild, golang: str) -> None:
    told = build(rbuild, "--jobs=1", "-f", GUIDE / "Dockerfile.3-named", GUIDE)
    assert not overlap(told, "build-client", "build-server")


def test_the_branches_of_a_diamond_take_the_time_of_one(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """B-T8"""
    dockerfile = """
        FROM busybox AS top
        RUN echo top >/top
        FROM top AS left
        RUN sleep 3; echo left >/left
        FROM top AS right
        RUN sleep 3; echo right >/right
        FROM scratch
        COPY --from=left /left /top /
        COPY --from=right /right /
    """
    context = write_context(tmp_path / "c", dockerfile)
    told = build(rbuild, context)
    slept = [event for event in told["StepFinished"] if "sleep" in event["step"]]
    assert overlap(told, "left", "right")
    begin = min(event["time"] - event["seconds"] for event in slept)
    assert max(event["time"] for event in slept) - begin < 5.5
    assert files_of(rbuild, tmp_path, context) == {"left": "left\n", "right": "right\n", "top": "top\n"}


FAILING = """
    FROM busybox AS shared
    RUN echo shared >/shared
    FROM shared AS slow
    ARG PAUSE=100
    RUN sleep $PAUSE; echo slow >/slow
    FROM shared AS broken
    ARG CODE=7
    RUN sleep 2; exit $CODE
    FROM scratch
    COPY --from=slow /slow /shared /
    COPY --from=broken /shared /again
"""


def test_a_failing_stage_cancels_its_sibling_and_keeps_what_is_finished(
    rbuild: Rbuild, base: str, tmp_path: Path
) -> None:
    """B-T8: the sibling's files are whole when the build is repeated."""
    context = write_context(tmp_path / "c", FAILING)
    begin = time.monotonic()
    failed = build(rbuild, context, status=1)
    assert time.monotonic() - begin < 60
    assert failed.stages("StepFailed") == {"broken"}
    assert failed.stages("StepCancelled") == {"slow"}
    assert failed.error["stage"] == "broken"
    assert failed.error["exit_code"] == 7

    arguments: list[str | Path] = ["--build-arg=CODE=0", "--build-arg=PAUSE=0", context]
    again = build(rbuild, *arguments)
    assert "RUN echo shared >/shared" in again.steps("StepCached")
    assert files_of(rbuild, tmp_path, *arguments) == {"slow": "slow\n", "shared": "shared\n", "again": "shared\n"}


# The cache


@pytest.mark.parametrize("target", ["client", "server"])
def test_a_second_build_executes_nothing(rbuild: Rbuild, golang: str, target: str) -> None:
    first = build(rbuild, "--target", target, "-t", "x", GUIDE)
    second = build(rbuild, "--target", target, "-t", "x", GUIDE)
    assert not second["StepStarted"]
    assert second["BuildFinished"][0]["executed"] == 0
    assert second["BuildStarted"][0]["tier"] == ""
    assert second.digest == first.digest
    assert sorted(second.steps("StepCached")) == sorted(first.steps("StepFinished"))


def test_a_second_build_starts_no_sandbox_and_touches_no_tree(rbuild: Rbuild, golang: str, tmp_path: Path) -> None:
    """No namespace, mount, process, thread or socket; no unpacked layer or snapshot is opened.

    Of a context in a git work tree, git would be asked for its date: so the guide is copied out of ours.
    """
    strace, log = need_tool("strace"), tmp_path / "trace"
    if subprocess.run([strace, "-qq", "-e", "trace=none", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace cannot trace here")
    shutil.copytree(GUIDE, tmp_path / "guide")
    arguments = ["--progress=plain", "--target", "client", "-t", "x", str(tmp_path / "guide")]
    rbuild(*arguments)
    calls = "unshare,setns,clone,clone3,?fork,?vfork,mount,fsopen,socket,openat,openat2,?open"
    subprocess.run(
        [strace, "-f", "-o", log, "-e", f"trace={calls}", rbuild.command, *arguments],
        env=rbuild.environment,
        capture_output=True,
        check=True,
    )
    trace = log.read_text()
    assert str(rbuild.store) in trace
    assert not re.findall(r"^\d+ +(?:unshare|setns|clone3?|v?fork|mount|fsopen|socket)\(.*", trace, re.MULTILINE)
    assert not [line for line in trace.splitlines() if f"{rbuild.store}/layers/" in line]
    assert not [line for line in trace.splitlines() if f"{rbuild.store}/snapshots/" in line]


def test_a_changed_source_compiles_anew_and_a_touched_one_does_not(rbuild: Rbuild, golang: str, tmp_path: Path) -> None:
    context = tmp_path / "guide"
    shutil.copytree(GUIDE, context)
    first = build(rbuild, "--target", "client", context)
    (context / "go.mod").touch()
    assert not build(rbuild, "--target", "client", context)["StepStarted"]
    with (context / "cmd" / "client" / "main.go").open("a") as file:
        file.write("// changed\n")
    changed = build(rbuild, "--target", "client", context)
    assert "COPY go.mod go.sum ." in changed.steps("StepCached")
    assert "RUN go mod download" in changed.steps("StepCached")
    assert changed.steps("StepStarted")[0] == "COPY . ."
    assert changed.digest != first.digest


# What stages may say


def test_a_stage_copies_from_a_later_one_and_from_numbers(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """Forward references are in the language of Dockerfiles."""
    dockerfile = """
        FROM busybox
        RUN echo first >/file
        FROM scratch AS middle
        COPY --from=later /file /from-later
        COPY --from=0 /file /from-0
        COPY --from=LATER /file /any-case
        FROM busybox AS later
        RUN echo later >/file
    """
    context = write_context(tmp_path / "c", dockerfile)
    files = files_of(rbuild, tmp_path, "--target", "middle", context)
    assert files == {"from-later": "later\n", "from-0": "first\n", "any-case": "later\n"}


@pytest.mark.parametrize(
    ("dockerfile", "circle"),
    [
        ("FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nCOPY --from=a /x /\n", "b -> a -> b"),
        ("FROM scratch AS a\nCOPY --from=b /x /\nFROM a AS b\n", "b -> a -> b"),
        ("FROM scratch AS a\nCOPY --from=a /x /\n", "a -> a"),
        ("FROM scratch\nCOPY --from=0 /x /\n", "stage-0 -> stage-0"),
    ],
)
def test_a_circle_of_stages_is_named(rbuild: Rbuild, tmp_path: Path, dockerfile: str, circle: str) -> None:
    error = build(rbuild, write_context(tmp_path / "c", dockerfile), status=1).error
    assert error["message"] == f"circular dependency between stages: {circle}"
    assert error["span"]["file"].endswith("Dockerfile")


def test_a_circle_beside_the_target_is_no_concern(rbuild: Rbuild, tmp_path: Path) -> None:
    dockerfile = "FROM scratch AS a\nCOPY --from=a /x /\nFROM scratch\nCOPY Dockerfile /\n"
    build(rbuild, write_context(tmp_path / "c", dockerfile))


def test_a_stage_number_that_is_not_there_is_an_error(rbuild: Rbuild, tmp_path: Path) -> None:
    error = build(rbuild, write_context(tmp_path / "c", "FROM scratch\nCOPY --from=7 /x /\n"), status=1).error
    assert error["message"] == "no stage number 7"
    assert error["span"]["first"] == 2


def test_onbuild_triggers_run_in_the_stage_that_builds_on_it(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """They run right after FROM, once, and are not handed on to a third image."""
    parent = "FROM busybox\nONBUILD COPY word /word\nONBUILD RUN cat /word /word >/words\nRUN test ! -e /word\n"
    rbuild("-t", "parent", write_context(tmp_path / "parent", parent))
    child = write_context(tmp_path / "child", "FROM parent\nRUN wc -l </words >/count\n", {"word": "word\n"})
    files = files_of(rbuild, tmp_path, "-t", "child", child)
    assert files["words"] == "word\nword\n"
    assert files["count"] == "2\n"

    grandchild = build(rbuild, write_context(tmp_path / "grandchild", "FROM child\nRUN test -e /words\n"))
    assert grandchild.steps("StepStarted")[1:] == ["RUN test -e /words"]


def test_args_before_from_choose_the_base(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """They are known to FROM lines only, and to stages that ask for them."""
    dockerfile = """
        ARG BASE=no-such-image
        ARG NAME=default
        FROM ${BASE} AS one
        RUN echo "[$NAME]" >/without
        ARG NAME
        RUN echo "[$NAME]" >/with
        FROM scratch
        COPY --from=one /with* /
    """
    context = write_context(tmp_path / "c", dockerfile)
    assert "no-such-image" in build(rbuild, "--pull=never", context, status=1).error["message"]
    files = files_of(rbuild, tmp_path, "--build-arg=BASE=busybox", context)
    assert files == {"without": "[]\n", "with": "[default]\n"}
    files = files_of(rbuild, tmp_path, "--build-arg=BASE=busybox", "--build-arg=NAME=given", context)
    assert files == {"without": "[]\n", "with": "[given]\n"}
