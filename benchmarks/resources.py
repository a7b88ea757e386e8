"""Rows of what large layers take of a machine: memory, disk, and reads of their files. Each is made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import trees
from builders import Rbuild
from race import Row, Took, call, figures

MIB = 1 << 20
SIZE, RANDOM = 5 << 30, 512 << 20
ENTRIES = 1_000_000
MEMORY = 128 * MIB
ROOM = 64 * MIB


def rows(place: Path) -> Iterator[Row]:
    yield from one_large_file(place)
    yield from many_entries(place, "in 10,000 directories", 100)
    yield from many_entries(place, "in one directory", ENTRIES)


def one_large_file(place: Path) -> Iterator[Row]:
    """5 GiB, of which 512 MiB do not compress; the rest is a hole that the layer holds as zeros."""
    tree = trees.one_file(place / "large", SIZE, RANDOM)
    for compression in ("none", "gzip", "zstd"):
        layer = place / f"large.{compression}"
        sample = call("pack", tree, layer if compression != "none" else "/dev/null", compression)
        yield memory(f"pack {compression}, a file of 5 GiB", sample)
        if compression != "none":
            yield disk(sample, layer.stat().st_size)
            yield reads(sample)
    yield memory("unpack gzip, a file of 5 GiB", call("unpack", place / "large.gzip", place / "large-again"))
    for path in (tree, place / "large-again"):
        Rbuild(path).close()


def many_entries(place: Path, where: str, each: int) -> Iterator[Row]:
    layer, tree = trees.many_entries(place / "many.gz", ENTRIES, each), place / "many"
    yield memory(f"unpack 1,000,000 entries {where}", call("unpack", layer, tree))
    yield memory(f"pack 1,000,000 entries {where}", call("pack", tree, "/dev/null", "gzip"))
    Rbuild(tree).close()


def memory(what: str, sample: Took) -> Row:
    verdict = f"{sample.peak / MIB:.0f} MiB of memory  goal <= {MEMORY // MIB} MiB"
    return Row(what, "rbuild", figures(sample), verdict, sample.peak <= MEMORY)


def disk(sample: Took, size: int) -> Row:
    """What was written in all, also what was removed again."""
    more = sample.written - size
    return Row("", "rbuild", "", f"{more / MIB:.0f} MiB written beside the layer  goal <= 64 MiB", more <= ROOM)


def reads(sample: Took) -> Row:
    times = sample.read / RANDOM
    return Row("", "rbuild", "", f"{times:.3f} reads of each byte of the source  goal: 1", times <= 1.01)
