"""What a build writes and reads, counted: nothing twice, nothing on the side."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builder.store.store import Store
from tests.support.builds import write_context
from tests.support.command import Rbuild
from tests.support.images import put_image
from tests.support.layer_call import call

MIB = 1 << 20
ROOM = 64 * MIB
SETTLED = 2.1  # seconds until the digest of a new file is remembered

LARGE = [
    pytest.param(80 * MIB, id="80 MiB"),
    pytest.param(5 << 30, id="5 GiB", marks=pytest.mark.torture),
]

COUNTED = """
import atexit, sys
from builder.cli.entry import entry
def tell():
    with open("/proc/self/io") as file:
        sys.stdout.write(file.read())
atexit.register(tell)
sys.argv = ["rbuild", *sys.argv[1:]]
entry()
"""


def random_file(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    return path


@pytest.mark.parametrize("size", LARGE)
def test_a_layer_is_read_once_and_written_once(size: int, tmp_path: Path) -> None:
    """B-T3: no tar on the side, nothing read to be hashed and once more to be packed."""
    random_file(tmp_path / "tree" / "diff" / "file", size)

    took = call("pack", tmp_path / "tree", tmp_path / "layer", "gzip")

    layer = (tmp_path / "layer").stat().st_size
    assert layer <= took.written <= layer + ROOM
    assert size <= took.read <= size + MIB


def test_many_files_are_read_once(tmp_path: Path) -> None:
    """B-T3: also where the files are small, and each changes what a lower tree has."""
    for number in range(300):
        random_file(tmp_path / "tree" / "diff" / f"f{number}", 0).write_bytes(b"%d" % number * 1000)
    size = sum(path.stat().st_size for path in (tmp_path / "tree" / "diff").iterdir())

    took = call("pack", tmp_path / "tree", tmp_path / "layer", "gzip")

    assert size <= took.read <= size + MIB // 4


def test_a_layer_costs_its_changes_and_no_copy_of_its_base(rbuild: Rbuild, tmp_path: Path) -> None:
    """B-T2: trees are at most 1.2 x the base and what the steps change; the store adds the blobs of the layers."""
    with Store.open(str(rbuild.store)) as store:
        store.tags.set("docker.io/library/base:latest", put_image(store, {"large": os.urandom(20 * MIB)}).manifest)
    context = write_context(tmp_path / "context", "FROM base\n" + "".join(f"COPY f{n} /\n" for n in range(8)))
    for number in range(8):
        random_file(context / f"f{number}", MIB)
    rbuild("-q", context)

    changes = 28 * MIB
    trees, blobs = (sum(used(rbuild.store / name) for name in names) for names in (("snapshots", "layers"), ("blobs",)))
    assert changes <= trees <= 1.2 * changes
    assert used(rbuild.store) <= 1.2 * changes + blobs
    assert blobs <= 1.2 * changes


def used(directory: Path) -> int:
    """Bytes of disk, each inode once."""
    done = subprocess.run(["du", "-s", "--block-size=1", directory], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


def test_an_unchanged_image_is_written_again_as_documents(rbuild: Rbuild, tmp_path: Path) -> None:
    """B-T7: the blobs are in the layout already."""
    context = write_context(tmp_path / "context", "FROM scratch\nCOPY large /\n")
    random_file(context / "large", 20 * MIB)
    arguments = ["-q", "-t", "image", "-o", f"type=oci,tar=false,dest={tmp_path / 'layout'}", str(context)]
    time.sleep(SETTLED)
    rbuild(*arguments)

    again = subprocess.run(
        [sys.executable, "-c", COUNTED, *arguments], env=rbuild.environment, capture_output=True, text=True, check=True
    )

    counts = dict(line.split(": ") for line in again.stdout.splitlines() if line.startswith(("rchar", "wchar")))
    assert int(counts["wchar"]) <= MIB // 4
    assert int(counts["rchar"]) <= 20 * MIB // 2  # what Python imports is most of it
