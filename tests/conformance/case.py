"""One case: a folder read, a build run, its result compared."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from builder.cli.console import Console
from builder.cli.main import main
from tests.support import setup_text, tree_text
from tests.support.command import tier_works

BUSYBOX = "busybox"
TIERS_VARIABLE = "RBUILD_TEST_TIERS"
_USES_BUSYBOX = re.compile(rf"^FROM {BUSYBOX}\b", re.MULTILINE)


class Case(NamedTuple):
    folder: Path

    def text(self, name: str) -> str | None:
        path = self.folder / name
        return path.read_text(errors="surrogateescape") if path.exists() else None

    @property
    def runs(self) -> bool:
        """Whether it is built on the base that has a shell."""
        return bool(_USES_BUSYBOX.search(self.text("Dockerfile") or ""))

    def tiers(self) -> list[str]:
        """The tiers to build it in, of those that this host gives."""
        if not self.runs:
            return os.environ.get(TIERS_VARIABLE, "none").split(",")
        wanted = (self.text("tiers") or "userns single").split()
        return [tier for tier in wanted if tier_works(tier)]

    def lay_out(self, context: Path) -> None:
        """The context, with fixed modes whatever the umask."""
        context.mkdir()
        (context / "Dockerfile").write_bytes((self.folder / "Dockerfile").read_bytes())
        (context / "Dockerfile").chmod(0o644)
        setup_text.make(self.text("setup") or "", context)


class Built(NamedTuple):
    """What one build gave: the flattened image, and the OCI layout's manifest digest, config and layers."""

    tar: bytes
    digest: str
    config: dict[str, Any]
    layers: list[bytes]


def run_rbuild(words: list[str], cwd: Path) -> tuple[int, str]:
    """In this process, which tier none leaves as it is."""
    out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    with contextlib.chdir(cwd):
        status = main(words, Console(out, err, dict(os.environ)))
    return status, err.getvalue()


def start_rbuild(words: list[str], cwd: Path) -> tuple[int, str]:
    """In a process of its own, which may enter a user namespace."""
    command = [str(Path(sys.executable).with_name("rbuild")), *words]
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def build(case: Case, tier: str, room: Path, bases: list[str]) -> tuple[int, str]:
    """Build the case's context, which is `room`/context. (exit status, standard error)"""
    words = [*(case.text("options") or "").splitlines(), *bases, "--isolation", tier]
    words += ["--progress", "plain", "--store", f"{room}/store-{tier}"]
    words += ["-o", f"type=tar,dest={room}/{tier}.tar", "-o", f"type=oci,tar=false,dest={room}/{tier}.oci", "."]
    run = run_rbuild if tier == "none" else start_rbuild
    return run(words, room / "context")


def read(room: Path, tier: str) -> Built:
    layout = room / f"{tier}.oci"
    (described,) = json.loads((layout / "index.json").read_text())["manifests"]

    def blob(descriptor: dict[str, str]) -> bytes:
        return (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()

    manifest = json.loads(blob(described))
    layers = [blob(layer) for layer in manifest["layers"]]
    tar = (room / f"{tier}.tar").read_bytes()
    return Built(tar, described["digest"], json.loads(blob(manifest["config"])), layers)


def shown_tree(built: Built, *, without_base: bool) -> list[str]:
    """The lines of the flattened image, after checking that the layers say the same."""
    files = tree_text.of_tar(built.tar)
    assert list(tree_text.lines(tree_text.of_layers(built.layers))) == list(tree_text.lines(files))
    if without_base:
        files = {path: node for path, node in files.items() if path.partition("/")[0] != "bin"}
    return list(tree_text.lines(files))


def part_of(config: Any, expected: Any, depth: int = 2) -> Any:
    """The part of `config` that `expected` speaks of: two levels of keys, and whole values below."""
    if isinstance(expected, dict) and isinstance(config, dict) and depth:
        return {key: part_of(config.get(key), value, depth - 1) for key, value in expected.items()}
    if isinstance(expected, list) and isinstance(config, list) and all(isinstance(item, dict) for item in expected):
        padded = [*expected, *[{}] * (len(config) - len(expected))]
        return [part_of(item, wanted, 1) for item, wanted in zip(config, padded, strict=False)]
    return config
