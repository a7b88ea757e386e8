"""The tools that read images: each skips the test by its name where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def run(*command: str | Path, **environment: str) -> str:
    """The output of a tool, which is skipped if missing and must succeed."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def skopeo(*words: str | Path) -> str:
    return run("skopeo", "--insecure-policy", *words)
