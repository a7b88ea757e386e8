"""A store inside the build context is no part of it, and a Dockerfile from a pipe is quoted as it came."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.builds import build, write_context
from tests.support.command import Rbuild


def test_the_store_is_not_copied_into_the_image(tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", "FROM scratch\nCOPY . /\n", {"a": "a", ".dockerignore": "!**\n"})
    rbuild = Rbuild(context / ".ci" / "store")
    first = build(rbuild, f"--output={tmp_path}/out", context)
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == [".ci", ".dockerignore", "Dockerfile", "a"]
    assert build(rbuild, context).digest == first.digest
    rbuild.clean()


def test_an_error_quotes_the_dockerfile_that_came_by_a_pipe(tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", "FROM scratch\nLABEL of=another.file\n")
    rbuild = Rbuild(tmp_path / "store")
    run = subprocess.run(
        [rbuild.command, "-f", "-", "."],
        input="FROM scratch\nCOPY nothing /\n",
        env=rbuild.environment,
        cwd=context,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "error: <stdin>:2:" in run.stderr
    assert ">>> 2 | COPY nothing /" in run.stderr
    assert "another" not in run.stderr
