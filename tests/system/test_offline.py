"""--offline is a mode, not a hope: no socket is opened, and what would have been fetched is told, all of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builder.exporters.archive import ArchiveExporter
from builder.exporters.exporter import StoredImage
from builder.exporters.layout import LayoutExporter
from builder.oci.reference import parse_reference
from builder.sources.archive import load
from builder.store.store import Store
from tests.support.builds import build, write_context
from tests.support.command import Rbuild
from tests.support.images import put_image
from tests.support.registries import serving
from tests.support.tools import ROOT, need_tool

DOCKERFILE = """\
FROM loaded:1 AS build
COPY src /src
COPY --chmod=755 busybox /bin/busybox
FROM layout AS tools
FROM archive:2
COPY --from=build /src /out
COPY --from=tools /f /tools
COPY --from=loaded:1 /g /g
"""
RUN = 'FROM build\nRUN ["/bin/busybox", "touch", "/made"]\n'


@pytest.fixture
def island(rbuild: Rbuild, context: Path, tmp_path: Path) -> list[str | Path]:
    """The words of a build of several stages on an OCI layout and on archives as `docker save` writes them."""
    with Store.open(str(tmp_path / "other")) as other, Store.open(str(rbuild.store)) as ours:
        for name, file in (("loaded:1", "g"), ("archive:2", "h")):
            image = StoredImage(other.blobs, put_image(other, {file: b"1"}).manifest, (parse_reference(name),))
            ArchiveExporter(str(tmp_path / file), docker=True).export(image, sys.stdout.buffer)
            load(str(tmp_path / file), ours)
        layout = StoredImage(other.blobs, put_image(other, {"f": b"2"}).manifest)
        LayoutExporter(str(tmp_path / "layout")).export(layout, sys.stdout.buffer)
    write_context(context, DOCKERFILE, {"src": "hello", "busybox": ""})
    return ["--offline", "-t", "out", "--build-context", f"layout=oci-layout://{tmp_path / 'layout'}", context]


def run_under(rbuild: Rbuild, before: list[str], words: list[str | Path]) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-m", "builder", *map(str, words)]
    return subprocess.run(command, env=rbuild.environment, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def nowhere() -> list[str]:
    """The beginning of a command that runs where there is no network: not even a loopback that is up."""
    command = [need_tool("unshare"), "-rn"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this host gives no network namespace")
    return command


def test_no_socket_is_opened(
    rbuild: Rbuild, island: list[str | Path], context: Path, sandbox: None, busybox: Path, tmp_path: Path
) -> None:
    """Not by the build, and not by what it starts; those to agents on this machine are none of the network."""
    strace = need_tool("strace")
    shutil.copyfile(busybox, context / "busybox")
    with open(context / "Dockerfile", "a") as file:
        file.write(RUN)
    log = tmp_path / "calls"
    run = run_under(rbuild, [strace, "-f", "-qq", "-e", "trace=network", "-o", str(log)], island)
    assert run.returncode == 0, run.stderr
    assert 'RUN ["/bin/busybox", "touch", "/made"]' in run.stderr
    opened = re.findall(r"\b(?:socket|connect|sendto|sendmsg)\(.*", log.read_text())
    assert [call for call in opened if "AF_UNIX" not in call] == []


def test_a_build_on_layouts_and_archives_needs_no_network(
    rbuild: Rbuild, island: list[str | Path], nowhere: list[str]
) -> None:
    run = run_under(rbuild, nowhere, ["--isolation=none", *island])
    assert run.returncode == 0, run.stderr
    assert build(rbuild, "--isolation=none", *island).digest in run.stderr


def test_a_second_build_with_the_cable_pulled(
    rbuild: Rbuild, context: Path, nowhere: list[str], tmp_path: Path
) -> None:
    """No word of --offline: what was pulled once is in the store. It is not even asked whether there is a network."""
    with serving(tmp_path / "registry") as registry:
        base = registry.push("cable", "1", {"f": b"1"}).reference
        write_context(context, f"FROM {base} AS a\nFROM {base}\nCOPY --from=a f /g\n")
        first = build(rbuild, "--isolation=none", "--platform=linux/amd64", "-t", "out", context)
    words: list[str | Path] = ["--isolation=none", "--platform=linux/amd64", "--no-cache", "-t", "out", context]
    run = run_under(rbuild, nowhere, words)
    assert run.returncode == 0, run.stderr
    assert first.digest in run.stderr


ALL = """\
ARG V=1
FROM one.example/base:$V AS a
ADD https://user:hush@files.example/x.tgz /x
FROM two.example/unused
FROM scratch
COPY --from=two.example/tools@sha256:{digest} \\
     /tool /
COPY --from=a /x /
ADD https://git.example/r.git#v1 /r
RUN --mount=from=busybox,target=/b true
"""

TOLD = """\
error: Dockerfile:2: --offline forbids to fetch 6 things that this build needs:
  --build-context more: https://files.example/more.tar
  Dockerfile:2: FROM one.example/base:$V AS a: image one.example/base:2 for linux/amd64
  Dockerfile:3: ADD https://files.example/x.tgz /x: https://files.example/x.tgz
  Dockerfile:6: COPY --from=two.example/tools@sha256:{short}…: \
image two.example/tools@sha256:{digest} for linux/amd64
  Dockerfile:9: ADD https://git.example/r.git#v1 /r: https://git.example/r.git#v1
  Dockerfile:10: RUN --mount=from=busybox,target=/b true: image busybox:latest for linux/amd64
     1 | ARG V=1
 >>> 2 | FROM one.example/base:$V AS a
     3 | ADD https://files.example/x.tgz /x
     4 | FROM two.example/unused
hint: fetch it where there is a network, by the same build without --offline; or have it here: see docs/offline.md
"""


def test_all_that_is_missing_is_told_at_once(rbuild: Rbuild, context: Path) -> None:
    """Every instruction that the target needs; and no credentials."""
    write_context(context, ALL.format(digest="0" * 64))
    words = ["--offline", "--platform=linux/amd64", "--build-arg", "V=2"]
    words += ["--build-context", "more=https://files.example/more.tar"]
    run = rbuild(*words, ".", cwd=context, status=4)
    assert run.stderr == TOLD.format(digest="0" * 64, short="0" * 42)
    assert rbuild("plan", *words, ".", cwd=context, status=4).stderr == run.stderr


def test_one_thing_that_is_missing_is_told_with_its_lines(rbuild: Rbuild, context: Path) -> None:
    write_context(context, "FROM scratch AS a\nFROM nothing.example/base\nRUN true\n")
    error = build(rbuild, "--offline", "--platform=linux/arm64", context, status=4).error
    assert error["span"]["first"] == 2
    assert error["message"] == (
        "image nothing.example/base:latest for linux/arm64 is not in the store, and --offline forbids to pull it"
    )
    assert "rbuild pull nothing.example/base:latest" in error["hint"]


@pytest.mark.parametrize("context_address", ["https://files.example/c.tar", "https://git.example/r.git"])
def test_a_context_from_elsewhere(rbuild: Rbuild, context_address: str) -> None:
    words = ["--offline", "--build-context", "more=https://files.example/more.tar", context_address]
    run = rbuild(*words, status=4)
    assert f"the build context and its Dockerfile: {context_address}\n" in run.stderr
    assert "--build-context more: https://files.example/more.tar\n" in run.stderr


def test_layers_that_never_came_are_told_with_the_instruction(rbuild: Rbuild, context: Path, tmp_path: Path) -> None:
    """Documents are here, by a plan, and the bytes are not."""
    with serving(tmp_path / "registry") as registry:
        base = registry.push("layers", "1", {"f": b"1"})
        write_context(context, f"FROM scratch\nCOPY --from={base.reference} f /\n")
        rbuild("plan", "--platform=linux/amd64", context)
    error = build(rbuild, "--isolation=none", "--offline", "--platform=linux/amd64", context, status=4).error
    assert error["span"]["first"] == 2
    assert base.layers[0] in error["message"]


@pytest.mark.parametrize("policy", ["always", "newer"])
def test_asking_and_not_asking_exclude_one_another(rbuild: Rbuild, context: Path, policy: str) -> None:
    write_context(context, "FROM scratch\n")
    run = rbuild("--offline", f"--pull={policy}", context, status=2)
    assert f"--offline and --pull={policy} exclude one another" in run.stderr
