"""rbuild build: from words to a request, from a result to files and standard output."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from builder.errors import BuildError, Cancelled, Span, StepFailed
from builder.request import Secret
from tests.support.fake_rooms import RESULT, BuildRequest, Library, Output, rbuild, rooms
from tests.support.sample_events import EVENTS

if TYPE_CHECKING:
    from pathlib import Path

    from builder import events


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: a context with a Dockerfile."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return tmp_path


def request_of(*words: str, environ: dict[str, str] | None = None) -> Any:
    library = Library()
    ran = rbuild(*words, doors=rooms(library), environ=environ)

    assert (ran.status, ran.err) == (0, "")
    return library.requests[0]


def fault_of(*words: str, environ: dict[str, str] | None = None, terminal: bool = False) -> str:
    """The error of a line that is refused before anything is built."""
    library = Library()
    ran = rbuild(*words, doors=rooms(library), environ=environ, terminal=terminal)

    assert (ran.status, ran.out, library.requests) == (2, "", [])
    return ran.err


def test_no_words_build_the_current_directory(here: Path) -> None:
    assert request_of() == BuildRequest()
    assert request_of("build") == BuildRequest()
    assert request_of(".") == BuildRequest()


def test_every_option_reaches_the_request(here: Path) -> None:
    (here / "ctx").mkdir()
    (here / "other").write_text("")
    words = (
        "-f other --target client -t app -t app:v2 --build-arg A=1 --build-arg HOME --build-arg NOT_THERE"
        " --label l=x --label bare --build-context base=oci-layout://x -o type=oci,dest=out.tar --no-cache"
        " --network none --isolation single -j 3 --store st --offline --compression zstd"
        " --platform linux/amd64,linux/arm64 --annotation index:a=b"
        " --no-cache-filter x,y --add-host h:127.0.0.1 --hostname hn --shm-size 1m"
        " --ulimit nofile=1:2 --allow network.host --secret id=s,src=f --ssh default --strict ctx"
    )

    assert request_of(*words.split(), environ={"HOME": "/h"}) == BuildRequest(
        context="ctx",
        dockerfile="other",
        target="client",
        tags=("app", "app:v2"),
        build_args=(("A", "1"), ("HOME", "/h"), ("NOT_THERE", None)),
        labels=(("l", "x"), ("bare", "")),
        build_contexts=(("base", "oci-layout://x"),),
        outputs=(Output("oci", "out.tar"),),
        store="st",
        isolation="single",
        jobs=3,
        no_cache=True,
        network="none",
        compression="zstd",
        offline=True,
        platforms=("linux/amd64", "linux/arm64"),
        annotations=(("index:a", "b"),),
        no_cache_filter=("x", "y"),
        add_hosts=(("h", "127.0.0.1"),),
        hostname="hn",
        shm_size=1 << 20,
        ulimits=(("nofile", 1, 2),),
        allow=frozenset({"network.host"}),
        secrets=(Secret("s", "file", "f"),),
        ssh=(("default", ()),),
        strict=True,
    )


def test_isolation_may_come_from_the_environment(here: Path) -> None:
    environ = {"RBUILD_ISOLATION": "single"}

    assert request_of(environ=environ).isolation == "single"
    assert request_of("--isolation=auto", environ=environ).isolation is None
    assert "RBUILD_ISOLATION=x: choose one of" in fault_of(environ={"RBUILD_ISOLATION": "x"})


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("-f nowhere", "nowhere: there is no such file"),
        ("-f .", ".: is a directory"),
        ("nowhere", "context nowhere: there is no such directory"),
        ("-f - -", "standard input cannot be both"),
        ("-t UPPER", "--tag: not an image reference: 'UPPER'\nhint: names are lower case"),
        ("-t a@sha256:x", "--tag a@sha256:x: a tag cannot carry a digest"),
        ("-o nonsense", "error: type= is missing"),
        ("-j 0", "--jobs 0: expected a number, at least 1"),
        ("-j many", "--jobs many: expected a number"),
        ("-j -1", "--jobs -1: expected a number"),
        ("--iidfile no/such/dir", "--iidfile no/such/dir: there is no such directory"),
        ("--metadata-file .", "--metadata-file .: is a directory"),
        ("--progress tty", "standard error is not a terminal"),
        ("-q -o type=tar", "--quiet prints the digest where --output writes"),
        ("-o type=tar -o type=oci", "only one --output can go to standard output"),
        ("-o type=oci,dest=a -o type=tar,dest=./a", "--output and --output both write ./a"),
        ("--iidfile a --metadata-file a", "--metadata-file and --iidfile both write a"),
        ("-o type=tar,dest=a --iidfile a", "--iidfile and --output both write a"),
        ("--store x images", "hint: a command comes first: rbuild images"),
        ("imges", "hint: did you mean rbuild images?"),
    ],
)
def test_what_cannot_be_right_is_refused_before_the_build(here: Path, line: str, error: str) -> None:
    assert error in fault_of(*line.split())


def test_a_device_takes_several_results(here: Path) -> None:
    assert rbuild("--iidfile=/dev/null", "--metadata-file=/dev/null").status == 0


def test_a_missing_dockerfile_says_where_it_was_looked_for(here: Path) -> None:
    (here / "ctx").mkdir()

    assert "ctx/Dockerfile: there is no such file" in fault_of("ctx")
    (here / "ctx" / "Containerfile").write_text("")
    assert "hint: there is a Containerfile: add -f ctx/Containerfile" in fault_of("ctx")
    assert "did you mean -f ctx/Containerfile?" in fault_of("-f", "Containerfile", "ctx")


def test_an_archive_is_not_written_to_a_terminal(here: Path) -> None:
    assert "refusing to write an archive to a terminal" in fault_of("-o", "type=tar", terminal=True)


def test_a_dockerfile_may_be_a_pipe(here: Path) -> None:
    """`rbuild -f <(generate) .`"""
    os.mkfifo(here / "pipe")

    assert request_of("-f", "pipe").dockerfile == "pipe"


def test_progress_goes_to_standard_error_and_quiet_prints_the_digest_alone(here: Path) -> None:
    def work(emit: events.Emit, cancelled: object) -> None:
        for event in EVENTS:
            emit(event)

    loud = rbuild(doors=rooms(Library(work)))
    quiet = rbuild("-q", doors=rooms(Library(work)))

    assert loud.out == ""
    assert "[build-client 1/1] DONE 3.2s\n" in loud.err
    assert (quiet.status, quiet.out, quiet.err) == (0, f"{RESULT.digest}\n", "")


def test_files_for_scripts(here: Path) -> None:
    """buildx's names; the image ID is the digest of the config."""
    ran = rbuild("--iidfile", "id", "--metadata-file", "meta", "-t", "a", "-t", "b:v1")

    assert ran.status == 0
    assert (here / "id").read_text() == RESULT.config_digest
    assert json.loads((here / "meta").read_text()) == {
        "containerimage.config.digest": RESULT.config_digest,
        "containerimage.descriptor": {"mediaType": "manifest/type", "digest": RESULT.digest, "size": 321},
        "containerimage.digest": RESULT.digest,
        "image.name": "docker.io/library/a:latest,docker.io/library/b:v1",
    }


def test_an_index_has_no_config(here: Path) -> None:
    """Its own digest is the image ID then, and the key of the config is absent."""
    library = Library(result=RESULT._replace(config_digest=""))

    assert rbuild("--iidfile", "id", "--metadata-file", "meta", doors=rooms(library)).status == 0
    assert (here / "id").read_text() == RESULT.digest
    assert json.loads((here / "meta").read_text()).keys() == {"containerimage.descriptor", "containerimage.digest"}


def test_a_failed_build_leaves_no_old_file(here: Path) -> None:
    """A script that reads the file must not take yesterday's image for today's."""
    (here / "id").write_text("old")

    assert rbuild("--iidfile", "id", doors=failing(BuildError("no"))).status == 1
    assert not (here / "id").exists()


def test_a_target_that_is_no_regular_file_is_written_to_and_never_removed(here: Path) -> None:
    (here / "link").symlink_to(os.devnull)

    assert rbuild("--iidfile", "link").status == 0
    assert (here / "link").is_symlink()


def failing(error: BaseException) -> Any:
    def work(emit: events.Emit, cancelled: object) -> None:
        raise error

    return rooms(Library(work))


STEP_FAILED = StepFailed(
    "RUN false: exit code 1",
    step="[a 1/1] RUN false",
    stage="a",
    exit_code=1,
    tail=("one",),
    span=Span("Dockerfile", 1, 1),
)


@pytest.mark.parametrize(
    ("error", "status"),
    [(BuildError("x"), 1), (STEP_FAILED, 1), (Cancelled("x"), 130), (OSError(28, "No space left", "/a"), 1)],
)
def test_exit_statuses(here: Path, error: Exception, status: int) -> None:
    ran = rbuild(doors=failing(error))

    assert ran.status == status
    assert ran.out == ""
    assert "error: " in ran.err
    assert "Traceback" not in ran.err


def test_the_error_comes_last_and_shows_the_guilty_line(here: Path) -> None:
    assert rbuild(doors=failing(STEP_FAILED)).err == (
        "last lines of [a 1/1] RUN false:\n"
        "  one\n"
        "error: Dockerfile:1: RUN false: exit code 1\n"
        "  stage a, step [a 1/1] RUN false, exit code 1\n"
        " >>> 1 | FROM scratch\n"
    )


def test_with_json_progress_the_error_is_json_too(here: Path) -> None:
    """Every line on standard error can be read by the same program."""
    ran = rbuild("--progress=json", doors=failing(STEP_FAILED))

    assert json.loads(ran.err)["event"] == "Error"
    assert json.loads(ran.err)["exit_code"] == 1


def test_a_fault_of_ours_is_no_traceback(here: Path) -> None:
    ran = rbuild(doors=failing(ZeroDivisionError("division\nby zero")))

    assert ran.status == 70
    assert ran.err == (
        "internal error: ZeroDivisionError: division by zero\n"
        "hint: set RBUILD_DEBUG=1 for the traceback, and please report it\n"
    )


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), BuildError("x")])
def test_rbuild_debug_shows_the_traceback(here: Path, error: Exception) -> None:
    ran = rbuild(doors=failing(error), environ={"RBUILD_DEBUG": "1"})

    assert "Traceback (most recent call last)" in ran.err
    assert ran.err.rstrip().splitlines()[-1] != ""


def test_a_fault_in_a_thread_is_no_traceback(here: Path) -> None:
    import threading

    def work(emit: events.Emit, cancelled: object) -> None:
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()

    ran = rbuild(doors=rooms(Library(work)))

    assert "internal error: ZeroDivisionError" in ran.err
    assert "Traceback" not in ran.err
