"""--strict: the traps that only a build can tell, with and without a cache that has the step already."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.builds import build, write_context
from tests.support.command import Rbuild

FILES = {"a.txt": "a", "b.txt": "b", "d/f": "f"}
PASSWD = "COPY <<E /etc/passwd\nroot:x:0:0::/:\nE\nCOPY <<E /etc/group\nroot:x:0:\nE\n"
TRAPPED = [
    ("WildcardMatchesNothing", "COPY no* /x/", "COPY a* /x/"),
    ("WildcardMatchesNothing", "COPY --parents d/no* /x/", "COPY --parents d/f /x/"),
    ("SeveralFilesToOneName", "COPY a.txt b.txt /x", "COPY a.txt b.txt /x/"),
    ("SeveralFilesToOneName", "COPY *.txt /x", "COPY *.txt /x/"),
    ("ExcludeOfNamedFile", "COPY --exclude=*.txt a.txt d /x/", "COPY --exclude=*.md a.txt d /x/"),
    ("ChmodOfMadeDirectories", "COPY --chmod=600 a.txt /new/x", "COPY --chmod=755 a.txt /new/x"),
    ("UnknownOwnerName", f"{PASSWD}COPY --chown=nobody a.txt /x", f"{PASSWD}COPY --chown=7 a.txt /x"),
]


@pytest.mark.parametrize(("rule", "bad", "good"), TRAPPED)
def test_a_trap_ends_a_strict_build_even_when_it_is_cached(
    rbuild: Rbuild, tmp_path: Path, rule: str, bad: str, good: str
) -> None:
    context = write_context(tmp_path / "context", f"FROM scratch\n{bad}\n", FILES)
    build(rbuild, context)
    for _ in range(2):
        error = build(rbuild, "--strict", context, status=1).error
        assert f"[{rule}]" in error["message"] and error["span"]["first"] == len(f"FROM scratch\n{bad}".splitlines())
        assert error["hint"]
    write_context(context, f"FROM scratch\n{good}\n")
    build(rbuild, "--strict", context)


def test_a_trap_in_a_cached_stage_that_is_only_copied_from(rbuild: Rbuild, tmp_path: Path) -> None:
    text = "FROM scratch AS a\nCOPY a.txt /a\nFROM scratch AS b\nCOPY a.txt /k\n{}COPY --from=a no* /m/\n"
    text += "FROM scratch\nCOPY --from=b / /\n"
    context = write_context(tmp_path / "context", text.format(""), FILES)
    build(rbuild, context)
    assert build(rbuild, "--strict", context, status=1).error["span"]["first"] == 5
    write_context(context, text.format("# check=skip=WildcardMatchesNothing\n"))
    build(rbuild, "--strict", context)


def test_what_a_strict_build_made_is_cached_for_the_next(rbuild: Rbuild, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", "FROM scratch\nCOPY a.txt /a\n", FILES)
    build(rbuild, "--strict", context)
    assert build(rbuild, "--strict", context)["BuildFinished"][0]["executed"] == 0


def test_several_traps_of_the_text_are_all_told(rbuild: Rbuild, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", "FROM scratch\nWORKDIR /a\nWORKDIR /b\nCMD ['x']\n")
    told = build(rbuild, "--strict", context, status=1)
    rules = [event["rule"] for event in told["CheckWarning"]]
    assert rules[:1] == ["WorkdirTwice"] and "JsonLookalike" in rules
    assert "--strict: " in told.error["message"]
    build(rbuild, context)


def test_what_is_written_to_a_bind_mount(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """Reading it, and mounts that have their places inside it, are no trap."""
    fine = "RUN --mount=type=bind,target=/m,rw --mount=type=tmpfs,target=/m/tmp cat /m/a.txt && touch /m/tmp/x\n"
    wrong = "RUN --mount=type=bind,target=/m,rw touch /m/x\n"
    context = write_context(tmp_path / "context", f"FROM busybox\n{fine}{wrong}", FILES)
    build(rbuild, context)
    error = build(rbuild, "--strict", context, status=1).error
    assert "[WriteToBindMount]" in error["message"] and error["span"]["first"] == 3
    write_context(context, f"FROM busybox\n{fine}")
    build(rbuild, "--strict", context)
