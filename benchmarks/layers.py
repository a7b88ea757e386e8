"""The layer engine beside the tools that do a part of its work, each row a goal.

    pack        diff + tar + diff ID: not compressed, gzip, zstd       tar, openssl, pigz, zstd
    small       the same of 20,000 small files
    unpack      a gzip base into the store, verified                   tar, umoci
    diff        RUN true on a base of 500,000 files                    the same on one of 500
    copy        COPY --from of 13,000 files                            cp -a
    context     a cached build with a context of 100,000 files         du, which asks for each file once
    parallel    several layers at once                                 one after the other
    resources   memory, disk and reads of large layers                 the limits

Alone: python benchmarks/layers.py [--quick] [ROW...]. A peer that is missing is named and left out.
"""

from __future__ import annotations

import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import bases
import race
import resources
import trees
from builders import workplace
from race import Contender, Row, call, command, shell

ROUNDS = 5
SMALL_FILES = 20_000


class Bench(NamedTuple):
    """`go` and `small` are trees as the engine has them, their files are in `diff`."""

    place: Path
    rounds: int
    go: Path
    small: Path

    def race(self, what: str, contenders: dict[str, Contender], goals: dict[str, float]) -> Iterator[Row]:
        return race.compared(what, race.race(contenders, self.rounds), goals)


def pack(bench: Bench) -> Iterator[Row]:
    yield from pack_tree(bench, bench.go, "Go twice")


def pack_small(bench: Bench) -> Iterator[Row]:
    yield from pack_tree(bench, bench.small, f"{SMALL_FILES:,} files")


def pack_tree(bench: Bench, tree: Path, what: str) -> Iterator[Row]:
    plain = bench.place / "plain.tar"
    call("pack", tree, plain, "none")
    shell('tar -C "$1" -cf - . | cat >/dev/null', tree / "diff")  # so that all of it is in memory
    what = f"{what}, {plain.stat().st_size / 1e6:.0f} MB"
    yield from pack_plain(bench, tree, what, plain)
    yield from pack_gzip(bench, tree, what, plain)
    yield from pack_zstd(bench, tree, what)


def pack_plain(bench: Bench, tree: Path, what: str, plain: Path) -> Iterator[Row]:
    """The goal is beside the slower of the two that do half of the work each."""
    contenders: dict[str, Contender] = {
        "rbuild": lambda: call("pack", tree, "/dev/null", "none"),
        # Of /dev/null, GNU tar would know, and read no file.
        "tar -cf - | cat": lambda: shell('tar -C "$1" -cf - . | cat >/dev/null', tree / "diff"),
        "openssl dgst -sha256": lambda: command("openssl", "dgst", "-sha256", plain),
    }
    samples = race.race(present(contenders), bench.rounds)
    slower = max(list(samples)[1:], key=lambda name: samples[name].seconds)
    yield from race.compared(f"pack {what}", samples, {slower: 0.9})


def pack_gzip(bench: Bench, tree: Path, what: str, plain: Path) -> Iterator[Row]:
    out, pigz = bench.place / "out.gz", bench.place / "pigz.gz"
    contenders: dict[str, Contender] = {
        "rbuild": lambda: call("pack", tree, out, "gzip"),
        "pigz -4 -p2 of the tar": lambda: shell('pigz -4 -p2 <"$1" >"$2"', plain, pigz),
    }
    yield from bench.race(f"pack gzip {what}", present(contenders), {"pigz -4 -p2 of the tar": 2})
    # It takes so long that once is enough to tell.
    slow: dict[str, Contender] = {
        "rbuild": contenders["rbuild"],
        "tar -czf": lambda: shell('tar -C "$1" -czf "$2" .', tree / "diff", bench.place / "tar.gz"),
    }
    yield from race.compared("", race.race(slow, min(bench.rounds, 3)), {"tar -czf": 5})
    size, best = out.stat().st_size, zlib_size(plain, 4)
    others = f", pigz -4 {pigz.stat().st_size:,}" if pigz.exists() else ""
    sizes = f"{size:,} bytes, zlib 4 {best:,}{others}: {size / best:.3f} x  goal <= 1.05 x"
    yield Row("  its size", "rbuild", "", sizes, size <= 1.05 * best)


def pack_zstd(bench: Bench, tree: Path, what: str) -> Iterator[Row]:
    script = 'tar -C "$1" -cf - . | zstd -q -3 -T0 -f -o "$2"'
    contenders: dict[str, Contender] = {
        "rbuild": lambda: call("pack", tree, bench.place / "out.zst", "zstd"),
        "tar | zstd -3 -T0": lambda: shell(script, tree / "diff", bench.place / "peer.zst"),
    }
    yield from bench.race(f"pack zstd {what}", present(contenders), {"tar | zstd -3 -T0": 0.9})


def unpack(bench: Bench) -> Iterator[Row]:
    yield from bench.race("unpack Go twice, gzip", *bases.unpacking(bench.place, bench.go))


def diff(bench: Bench) -> Iterator[Row]:
    yield from bases.diff_of_nothing(bench.place, bench.rounds)


def copy(bench: Bench) -> Iterator[Row]:
    yield from bench.race("COPY --from of 13,000 files", *bases.copying(bench.place, bench.go))


def context(bench: Bench) -> Iterator[Row]:
    yield from bases.cached_context(bench.place, bench.rounds)


def parallel(bench: Bench) -> Iterator[Row]:
    """Layers whose files are small: one alone does not fill the processors."""
    parts = [bench.place / f"part{number}" for number in range(4)]
    for number, part in enumerate(parts):
        (part / "diff").mkdir(parents=True, exist_ok=True)
        for directory in sorted((bench.small / "diff").iterdir())[number::4]:
            shutil.copytree(directory, part / "diff" / directory.name, dirs_exist_ok=True)
    contenders: dict[str, Contender] = {
        "rbuild, two at once": lambda: call("packs", 2, bench.place, *parts),
        "rbuild, one by one": lambda: call("packs", 1, bench.place, *parts),
    }
    yield from bench.race("4 layers of small files", contenders, {})


def large(bench: Bench) -> Iterator[Row]:
    yield from resources.rows(bench.place)


ROWS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "pack": pack,
    "small": pack_small,
    "unpack": unpack,
    "diff": diff,
    "copy": copy,
    "context": context,
    "parallel": parallel,
    "resources": large,
}


def present(contenders: dict[str, Contender]) -> dict[str, Contender]:
    """Those whose program is installed; the name of a peer begins with it."""
    missing = [name for name in contenders if name != "rbuild" and shutil.which(name.split()[0]) is None]
    missing += [name for name in contenders if "zstd" in name and shutil.which("zstd") is None]
    for name in missing:
        print(f"{name} takes no part: it is not installed")
    return {name: contender for name, contender in contenders.items() if name not in missing}


def zlib_size(path: Path, level: int) -> int:
    deflate, size = zlib.compressobj(level, zlib.DEFLATED, 31), 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            size += len(deflate.compress(piece))
    return size + len(deflate.flush())


def report(place: Path, rounds: int, names: tuple[str, ...] = tuple(ROWS)) -> None:
    print(f"\nThe layer engine: medians of {rounds}, in turns; the page cache is warm")
    go = trees.go_twice(place / "go")
    small = trees.small_files(place / "small", SMALL_FILES)
    bench = Bench(place, rounds, go, small)
    for name in names:
        race.show(ROWS[name](bench))


def main() -> None:
    words = sys.argv[1:]
    names = tuple(word for word in words if word != "--quick")
    if unknown := [name for name in names if name not in ROWS]:
        sys.exit(f"no row {unknown[0]}; there are {', '.join(ROWS)}")
    with workplace() as place:
        report(place, 1 if "--quick" in words else ROUNDS, names or tuple(ROWS))


if __name__ == "__main__":
    main()
