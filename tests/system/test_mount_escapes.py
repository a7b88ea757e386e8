"""RUN --mount against images, steps and contexts that want it to reach the host."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from builder.errors import SandboxError
from builder.sandbox.attachments import Attachment
from tests.support.builds import build, write_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command import Rbuild
    from tests.support.rootfs import Place


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host that must stay as it is, and never be seen."""
    path = tmp_path / "canary"
    (path / "d").mkdir(parents=True)
    (path / "file").write_text("canary-of-the-host")
    before = look(path)
    yield path
    assert look(path) == before


def look(root: Path) -> dict[str, tuple[int, int, int]]:
    found = {str(path): path.lstat() for path in [root, *root.rglob("*")]}
    return {path: (info.st_mode, info.st_ino, info.st_ctime_ns) for path, info in found.items()}


def lines(told: object) -> list[str]:
    return [event["line"] for event in told["StepLog"]]  # type: ignore[index]


@pytest.mark.parametrize("name", ["../../../../canary", "/", "..", "a/../../b", "x" * 5000, "\\n", "%s"])
def test_id_of_a_cache_is_no_path(rbuild: Rbuild, base: str, tmp_path: Path, canary: Path, name: str) -> None:
    """K5, CVE-2024-9675."""
    text = f"FROM busybox\nRUN --mount=type=cache,id={name},target=/c test ! -e /c/file && touch /c/f\n"
    build(rbuild, write_context(tmp_path / "c", text))

    (cache,) = [path for owners in (rbuild.store / "mounts").iterdir() for path in owners.iterdir()]
    assert len(cache.name) == 64 and (cache / "0/f").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["busybox-context", "c", "canary", "store"]


@pytest.mark.parametrize("kind", ["cache", "secret,id=s"])
@pytest.mark.parametrize(
    "link", ["{0}", "../../../../../../../../..{0}", "/proc/1/root{0}", "/proc/self/cwd", "/dev/fd/9"]
)
def test_target_below_a_link_of_the_image(
    rbuild: Rbuild, base: str, tmp_path: Path, canary: Path, kind: str, link: str
) -> None:
    """K9: the target resolves inside the image, or the step fails."""
    (tmp_path / "s").write_text("secret")
    text = f"FROM busybox\nRUN mkdir /x && ln -s {link.format(canary)} /x/t\n"
    text += f"RUN --mount=type={kind},target=/x/t/d/m echo done; echo >/x/t/d/m/new; echo >/x/t/d/m; true\n"
    context = write_context(tmp_path / "c", text)
    words = ["build", f"--secret=id=s,src={tmp_path}/s", "-o", f"{tmp_path}/out", str(context)]
    run = subprocess.run([rbuild.command, *words], env=rbuild.environment, capture_output=True, text=True, check=False)

    assert "canary-of-the-host" not in run.stderr
    assert run.returncode == 0 or "cannot mount" in run.stderr, run.stderr


def test_target_that_is_a_link_to_a_file(rbuild: Rbuild, base: str, tmp_path: Path, canary: Path) -> None:
    (tmp_path / "s").write_text("secret\n")
    text = f"FROM busybox\nRUN mkdir -p {canary} && echo inner >{canary}/file && ln -s {canary}/file /t\n"
    text += "RUN --mount=type=secret,id=s,target=/t,mode=0666 echo x >/t; wc -c </t\nRUN cat /t\n"
    told = lines(build(rbuild, f"--secret=id=s,src={tmp_path}/s", write_context(tmp_path / "c", text)))

    assert told[-1] == "inner"


MOVES = [
    "mv /gone/deep /moved; ln -s {0} /gone/deep",
    "mv /gone /moved; ln -s {0} /gone",
    "mv /gone /moved; mkdir /gone; ln -s {0} /gone/deep",
    "mv /gone /moved; mkdir -p /gone/deep/m; touch /gone/deep/m/kept",
    "rm -rf /gone; ln -s / /gone",
]


@pytest.mark.parametrize("move", MOVES)
def test_step_that_moves_the_parents_of_a_target(
    rbuild: Rbuild, base: str, tier: str, tmp_path: Path, canary: Path, move: str
) -> None:
    """K3, CVE-2024-23652: what is taken away after the step is what was made before it, or nothing.

    The image deletes the parent, so the mount point has to be made in the tree of the step.
    """
    text = "FROM busybox AS below\nRUN mkdir -p /gone/deep /host && touch /gone/deep/old\n"
    text += "FROM below\nRUN rm -rf /gone\n"
    text += f"RUN --mount=type=cache,target=/gone/deep/m {move.format(canary)}; touch /ran\n"
    text += "RUN test -e /ran; test ! -e /gone/deep/old; ls -ld /gone /gone/deep /gone/deep/m /moved; true\n"
    build(rbuild, f"--isolation={tier}", write_context(tmp_path / "c", text), "-o", f"{tmp_path}/out")

    assert (tmp_path / "out/ran").exists()
    assert not (tmp_path / "out/gone/deep/old").exists() or "/ " in move
    if "kept" in move and (tmp_path / "out/moved").exists():
        assert (tmp_path / "out/gone/deep/m/kept").exists()


def test_swapped_parts_of_a_source_never_show_the_host(rbuild: Rbuild, base: str, tmp_path: Path, canary: Path) -> None:
    """K2, CVE-2024-23651: a directory of the source is exchanged with a link while it is being mounted."""
    text = "FROM busybox\n" + "".join(
        f"RUN --mount=source=a/d,target=/d{number} cat /d{number}/file /d{number}/../file; true\n"
        for number in range(8)
    )
    context = write_context(tmp_path / "c", text, {"a/d/inner": "x", "b": ""})
    (context / "link").symlink_to(canary)
    done = threading.Event()
    swapper = threading.Thread(target=swap, args=(context, done))
    swapper.start()
    try:
        for _ in range(6):
            run = subprocess.run(
                [rbuild.command, "build", "--no-cache", "--progress=plain", context],
                env=rbuild.environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert "canary-of-the-host" not in run.stdout + run.stderr
    finally:
        done.set()
        swapper.join()


@pytest.mark.parametrize("same", [True, False])
def test_directory_that_came_in_the_place_of_another_is_not_mounted(place: Place, tmp_path: Path, same: bool) -> None:
    """The builder holds the directory that it looked at; the sandbox opens it again by name."""
    for name in ("looked-at", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    fd = os.open(tmp_path / ("looked-at" if same else "other"), os.O_PATH)
    shown = Attachment("tree", "/d", True, "/", (str(tmp_path / "looked-at"),), fd, readonly=True)
    try:
        if same:
            assert place.sh("cat /d/f", attachments=(shown,)).out == ["looked-at"]
        else:
            with pytest.raises(SandboxError, match="cannot mount .*looked-at"):
                place.sh("cat /d/f", attachments=(shown,))
    finally:
        os.close(fd)


def swap(context: Path, done: threading.Event) -> None:
    fd = os.open(context, os.O_PATH | os.O_DIRECTORY)
    names = ("a", "aside"), ("link", "a"), ("a", "link"), ("aside", "a")
    while not done.is_set():
        for old, new in names:
            os.rename(old, new, src_dir_fd=fd, dst_dir_fd=fd)
    os.close(fd)
