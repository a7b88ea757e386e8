"""Agreement with GNU tar, and a whole distribution there and back. Overlayfs and umoci: `test_apply.py`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder.layers.tree import Owners
from builder.layers.unpack import unpack
from tests.native.test_round_trip import everything
from tests.support import disk, tars
from tests.support.tools import ROOT, need_tool
from tests.support.trees import EACH_OWNERS, NATIVE


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7", "oldgnu"])
def test_gnu_tar_and_we_read_alike(form: str, tmp_path: Path) -> None:
    """Long names, links, FIFOs, times and modes in every format that GNU tar writes."""
    source, theirs = tmp_path / "source", tmp_path / "theirs"
    long = "n" * 90 if form in ("v7", "ustar") else "n" * 200
    (source / "d").mkdir(parents=True)
    theirs.mkdir()
    (source / "d" / long).write_bytes(b"long" * 1000)
    (source / "d/empty").touch(mode=0o600)
    (source / "hard").hardlink_to(source / "d/empty")
    (source / "soft").symlink_to("d/" + long)
    if form != "v7":
        os.mkfifo(source / "fifo", 0o640)
    os.utime(source / "d", (1, 1))
    tar = subprocess.run([need_tool("tar"), f"--format={form}", "-C", source, "-c", "."], check=True, stdout=-1).stdout
    subprocess.run(["tar", "-C", theirs, "-xp"], input=tar, check=True)

    tree = NATIVE.unpack(tar, tmp_path / "tree", owners="recorded")

    assert disk.of_directory(f"{tree}/diff") == disk.of_directory(str(theirs))


def test_gnu_tar_reads_what_we_write(tmp_path: Path) -> None:
    """Its listing of our archive has every member, without a complaint."""
    done = subprocess.run([need_tool("tar"), "-tvf", "-"], input=everything(), capture_output=True, check=True)

    assert done.stderr == b""
    assert len(done.stdout.splitlines()) == len(tars.describe(everything()))


def distribution() -> bytes:
    """A root file system of Debian by mmdebstrap, made once; a small stand-in where that cannot be had."""
    given = os.environ.get("RBUILD_TEST_ROOTFS")
    if given:
        return Path(given).read_bytes()
    return tars.archive(
        tars.directory(b"./"),
        *(tars.directory(b"./d%d/" % i, uid=i, gid=i, mode=0o700 + i) for i in range(50)),
        *(tars.header(b"./d%d/tty%d" % (i, i), kind=b"3", mode=0o620, gid=5, device=(4, i)) for i in range(50)),
        *(tars.file(b"./d%d/f" % i, b"%d" % i, mode=0o4000 + i, uid=i, gid=65534, mtime=i) for i in range(50)),
        *(tars.symlink(b"./d%d/l" % i, b"f", uid=i, gid=i, mtime=i) for i in range(50)),
        *(tars.hardlink(b"./d%d/h" % i, b"./d%d/f" % i, mode=0o4000 + i) for i in range(50)),
    )


def without_root(tar: bytes) -> list[tuple[object, ...]]:
    """Members by name, names cleaned of "./", links resolved to who else has the data."""
    cleaned = []
    links: dict[object, object] = {}
    for name, kind, mode, uid, gid, mtime, device, target, content, xattrs in tars.describe(tar):
        short = str(name).removeprefix("./")
        if kind == b"1":
            first = str(target).removeprefix("./")
            links[short] = links.get(first, first)
            continue
        if short not in ("", "."):
            cleaned.append((short, kind, mode, uid, gid, mtime, device, target, content, xattrs))
    groups: dict[object, set[object]] = {}
    for name, first in links.items():
        groups.setdefault(first, {first}).add(name)
    merged = {member[0]: member for member in cleaned}
    for first, group in groups.items():
        lowest = min(map(str, group))
        merged[lowest] = (lowest, *merged.pop(first)[1:], tuple(sorted(map(str, group))))
    return [merged[name] for name in sorted(merged, key=str)]


@EACH_OWNERS
def test_a_distribution_comes_back_as_it_went(owners: Owners, tmp_path: Path) -> None:
    """Owners, modes, devices, links, times: tar → tree → tar, with RBUILD_TEST_ROOTFS for a real one."""
    tar = distribution()

    tree = NATIVE.unpack(tar, tmp_path / "tree", owners=owners)

    assert without_root(NATIVE.pack([tree], owners=owners)) == without_root(tar)


def test_real_owners_inside_a_user_namespace(tmp_path: Path) -> None:
    """Tier userns: the same suite as root of a namespace with a range of ids, where no device can be made."""
    if "RBUILD_TEST_INSIDE" in os.environ:
        pytest.skip("is inside already")
    need_tool("newuidmap")
    inside = (
        "import shutil, sys, pytest\n"
        "from builder.sandbox.userns import enter\n"
        "enter('userns')\n"
        "status = pytest.main(sys.argv[2:])\n"
        "shutil.rmtree(sys.argv[1], ignore_errors=True)\n"  # outside, nobody may remove what sub-ids own
        "sys.exit(status)\n"
    )
    room = f"{tmp_path}/inside"
    suites = [f"tests/native/test_{name}.py" for name in ("round_trip", "diff", "place", "trees")]

    done = subprocess.run(
        [sys.executable, "-c", inside, room, "-q", "-p", "no:cacheprovider", f"--basetemp={room}", *suites],
        cwd=ROOT,
        env={**os.environ, "RBUILD_TEST_INSIDE": "1", "PYTEST_ADDOPTS": "-k real"},
        capture_output=True,
        text=True,
        check=False,
    )

    if "NoSubIds" in done.stderr:
        pytest.skip("this user has no range of ids")
    assert done.returncode == 0, done.stdout + done.stderr


def test_unpacking_reads_its_stream_to_the_end(tmp_path: Path) -> None:
    """Whoever verifies the stream must see all of it, padding after the archive included."""
    stream = io.BytesIO(everything() + bytes(1 << 16))

    unpack(stream, str(tmp_path / "tree"), owners="recorded")

    assert stream.read() == b""
