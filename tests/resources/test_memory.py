"""B-T5: however large a layer is, packing and unpacking it takes little memory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support import tars
from tests.support.layer_call import call

MIB = 1 << 20
MEMORY = 128 * MIB
LIMIT = 256 * MIB  # enforced by the kernel, of data and stacks

LARGE = [
    pytest.param(300 * MIB, id="300 MiB"),
    pytest.param(5 << 30, id="5 GiB", marks=pytest.mark.torture),
]
# Bytes of memory an entry: with a million of them, under the bound.
EACH = 96
AHEAD = 48 * MIB
CHANCE = 8 * MIB  # whether, for a moment, all pieces of the queues of layers/unpack.py wait, or none


def one_file(tree: Path, size: int) -> Path:
    """Its start does not compress, so that what waits to be written is as large as it can be."""
    (tree / "diff").mkdir(parents=True)
    with open(tree / "diff" / "file", "wb") as file:
        for _ in range(size // MIB // 8):
            file.write(os.urandom(MIB))
        file.truncate(size)
    return tree


def empty_files(archive: Path, count: int, each: int) -> Path:
    """A tar of `count` empty files, `each` in a directory, after one that fills all that reads or waits ahead."""
    with open(archive, "wb") as out:
        out.write(tars.file(b"a", bytes(AHEAD)))
        for number in range(count):
            if number % each == 0:
                out.write(tars.directory(b"d%d/" % (number // each)))
            out.write(tars.file(b"d%d/file-%d" % (number // each, number), b""))
        out.write(bytes(1024))
    return archive


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("size", LARGE)
def test_a_layer_of_one_large_file(size: int, compression: str, tmp_path: Path) -> None:
    """B-T5: packed, and unpacked again."""
    tree, layer, again = one_file(tmp_path / "tree", size), tmp_path / "layer", tmp_path / "again"

    packed = call("pack", tree, layer, compression, memory=LIMIT)
    unpacked = call("unpack", layer, again, memory=LIMIT)

    assert max(packed.peak, unpacked.peak) <= MEMORY
    assert (again / "diff" / "file").stat().st_size == size
    shutil.rmtree(again)


@pytest.mark.parametrize("each", [100, 1_000_000], ids=["in many directories", "in one directory"])
def test_memory_grows_little_with_the_number_of_entries(each: int, tmp_path: Path) -> None:
    """B-T5: ten times as many entries, and few bytes for each that came."""
    few, many = (layer_and_tree(tmp_path, count, each) for count in (2_000, 20_000))

    for one, other in zip(few, many, strict=True):
        assert other - one <= 18_000 * EACH + CHANCE


@pytest.mark.torture
@pytest.mark.parametrize("each", [100, 1_000_000], ids=["in many directories", "in one directory"])
def test_a_layer_of_a_million_entries(each: int, tmp_path: Path) -> None:
    assert max(layer_and_tree(tmp_path, 1_000_000, each)) <= MEMORY


def layer_and_tree(place: Path, count: int, each: int) -> tuple[int, int]:
    """The memory that it took to unpack a layer of so many entries, and to pack it again."""
    archive, tree, layer = empty_files(place / "archive", count, each), place / f"tree{count}", place / "layer"
    unpacked = call("unpack", archive, tree, memory=LIMIT)
    packed = call("pack", tree, layer, "gzip", memory=LIMIT)
    shutil.rmtree(tree)
    return unpacked.peak, packed.peak
