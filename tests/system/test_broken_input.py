"""What goes wrong in a build says where, why and what helps; and it never ends in a traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.command import Rbuild

SHELL = 'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\n'


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    return directory


def refusal(rbuild: Rbuild, context: Path, dockerfile: str | bytes) -> str:
    """Standard error of a build that fails with status 1."""
    content = dockerfile.encode() if isinstance(dockerfile, str) else dockerfile
    (context / "Dockerfile").write_bytes(content)
    said = rbuild(context, status=1).stderr
    assert "Traceback" not in said and "internal error" not in said
    return said


def test_a_missing_or_ignored_file_is_told_with_its_line(rbuild: Rbuild, context: Path) -> None:
    assert 'Dockerfile:3: "/nothing": not found' in refusal(rbuild, context, "FROM scratch\n\nCOPY nothing /\n")
    (context / "secret").touch()
    (context / ".dockerignore").write_text("secret\n")
    said = refusal(rbuild, context, "FROM scratch\nCOPY secret /\n")
    assert 'Dockerfile:2: "/secret" is excluded' in said and "hint: add a line !secret" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("name", ["file", "directory"])
def test_an_unreadable_source_is_told_with_its_line(rbuild: Rbuild, context: Path, name: str) -> None:
    (context / "file").touch(mode=0)
    (context / "directory").mkdir(mode=0)
    said = refusal(rbuild, context, f"FROM scratch\nCOPY {name} /{name}/\n")
    (context / "directory").chmod(0o700)
    assert f'Dockerfile:2: cannot read "/{name}" of the build context: Permission denied\n' in said


def test_a_binary_is_no_dockerfile_and_does_not_flood_the_screen(rbuild: Rbuild, context: Path) -> None:
    said = refusal(rbuild, context, b"\x7fELF\0\1\xff" * 1000)
    assert "this is not a Dockerfile" in said and len(said) < 1000
    said = refusal(rbuild, context, "X" * 10_000)
    assert "unknown instruction: XXX" in said and len(said) < 1000


@pytest.mark.usefixtures("sandbox")
def test_what_the_image_lacks_is_named(rbuild: Rbuild, context: Path, busybox: Path) -> None:
    said = refusal(rbuild, context, "FROM scratch\nRUN ls\n")
    assert "Dockerfile:2" in said and "hint: the image has no /bin/sh" in said
    shutil.copy(busybox, context / "busybox")
    said = refusal(rbuild, context, f'{SHELL}RUN ["nothing"]\n')
    assert "exit code 127" in said and "hint: the image has no nothing" in said
    said = refusal(rbuild, context, f"{SHELL}USER nobody-here\nRUN true\n")
    assert "Dockerfile:5: unable to find user 'nobody-here': no matching entry" in said


@pytest.mark.usefixtures("sandbox")
def test_a_step_killed_by_a_signal_says_so(rbuild: Rbuild, context: Path, busybox: Path) -> None:
    shutil.copy(busybox, context / "busybox")
    said = refusal(rbuild, context, f"{SHELL}RUN (sh -c 'kill -9 $$'; exit $?)\n")
    assert "exit code 137" in said and "SIGKILL" in said


@pytest.mark.parametrize("form", ["w", "w:gz", "w:bz2", "w:xz"])
def test_add_unpacks_archives_however_compressed(rbuild: Rbuild, context: Path, form: str) -> None:
    """A small one too, which a decompressor gives out in one piece."""
    with tarfile.open(context / "root", form) as archive:  # type: ignore[call-overload]
        member = tarfile.TarInfo("etc/shadow")
        member.size, member.mode, member.gid = 5, 0o640, 42
        archive.addfile(member, BytesIO(b"root:"))
    (context / "Dockerfile").write_text("FROM scratch\nADD root /\n")
    rbuild("-o", f"type=tar,dest={context / 'out.tar'}", context)
    with tarfile.open(context / "out.tar") as found:
        shadow = found.getmember("etc/shadow")
        assert (shadow.mode, shadow.gid, shadow.size) == (0o640, 42, 5)
        assert "root" not in found.getnames()


def test_names_of_any_bytes_survive(rbuild: Rbuild, context: Path) -> None:
    names = [b"n\xff\xfe", b"new\nline", b"-dash", b"back\\slash", b"*", b"x" * 255, b"\x1b[31mred"]
    (context / "d").mkdir()
    for name in names:
        (Path(os.fsdecode(bytes(context / "d") + b"/" + name))).touch()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY d /d\n")
    rbuild("-o", f"type=local,dest={context / 'out'}", context)
    assert sorted(os.listdir(bytes(context / "out" / "d"))) == sorted(names)


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        ("type=tar,dest={}/directory", "dest= names the file"),
        ("type=local,dest={}/file", "there is a file in the place of the directory"),
        ("type=oci,dest={}/file/x", "a part of the path is a file"),
        ("type=docker,dest={}/none/x", "make the directory first"),
        ("type=tar,dest=/dev/full", "the disk is full"),
    ],
)
def test_an_output_that_cannot_be_written_says_what_helps(
    rbuild: Rbuild, context: Path, output: str, hint: str
) -> None:
    (context / "directory").mkdir()
    (context / "file").touch()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY file /\n")
    assert f"hint: {hint}" in rbuild("-o", output.format(context), context, status=1).stderr


def test_ctrl_c_while_the_command_loads_is_silent(rbuild: Rbuild, context: Path) -> None:
    """However early: what the interpreter itself does before is not ours."""
    code = (
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'builder.cli.options': os.kill(os.getpid(), 2)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from builder.cli.entry import entry\n"
        "entry()\n"
    )
    python = Path(rbuild.command).with_name("python")
    run = subprocess.run([python, "-c", code], env=rbuild.environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (-2, "")
