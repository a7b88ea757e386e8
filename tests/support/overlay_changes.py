"""F-T1: random changes through real overlay mounts, inside a user namespace; the layers, applied, are what was seen.

    python -m tests.support.overlay_changes DIRECTORY TIER memory|disk SEED COUNT APPLIER...

Each case is a base and two steps, drawn from its own seed, in a directory of its own; all cases share one base tree
and one overlay a step, so that a thousand cost few mounts and one run of the applier. A case that fails is made
smaller, operation by operation, and printed.
"""

from __future__ import annotations

import ctypes
import io
import itertools
import os
import random
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from builder.layers.pack import pack_diff
from builder.layers.tree import Meta, Owners, create_tree, read_journal, seal, write_journal
from builder.sandbox import userns
from builder.sandbox.mounts import OVERLAY_OPTIONS
from tests.oracle.pack import pack as twin_pack
from tests.oracle.trees import write_meta
from tests.support import disk, steps
from tests.support.appliers import APPLIERS, CLAMP, LayerBytes, plain
from tests.support.steps import Op


class Case(NamedTuple):
    seed: int
    base: list[Op]
    first: list[Op]
    second: list[Op]


class Made(NamedTuple):
    """Layers, lowest first, and what the last mount showed."""

    layers: list[LayerBytes]
    seen: disk.Files


def draw_case(seed: int) -> Case:
    dice = random.Random(seed)
    return Case(seed, *(steps.draw(dice, dice.randint(0, most)) for most in (25, 15, 8)))


# ---- making layers ----


def make(room: Path, cases: Mapping[bytes, Case], owners: Owners) -> Made:
    trees = [str(room / name) for name in ("second", "first", "base")]
    for tree in trees:
        create_tree(tree)
    for name, case in cases.items():
        inside = os.fsencode(trees[2]) + b"/diff/" + name
        os.mkdir(inside)
        steps.perform(inside, case.base)
        if owners == "recorded":
            record_owners(trees[2], inside, random.Random(case.seed))
    close(trees[2], owners)
    run_step(room, trees[1:], {name: case.first for name, case in cases.items()})
    close(trees[1], owners)
    seen = run_step(room, trees, {name: case.second for name, case in cases.items()}, owners)
    close(trees[0], owners)
    return Made([pack(trees[number:], owners) for number in (2, 1, 0)], seen)


def close(tree: str, owners: Owners) -> None:
    """As the builder does after each RUN."""
    if owners == "recorded":
        seal(tree)


def record_owners(tree: str, directory: bytes, dice: random.Random) -> None:
    """What an unpacked base has, of owners and modes that its user may not give."""
    root = os.fsencode(tree) + b"/diff"
    journal = read_journal(tree)
    for name in disk.walk(directory):
        path = os.path.join(directory, name)
        kind = stat.S_IFMT(os.lstat(path).st_mode)
        if dice.random() < 0.7:
            continue
        meta = Meta(kind | dice.choice(steps.MODES), *dice.choice(steps.OWNERS))
        if kind in (stat.S_IFREG, stat.S_IFDIR):
            write_meta(path, meta, "recorded")
        elif os.lstat(path).st_nlink == 1:
            mode = 0o777 if kind == stat.S_IFLNK else stat.S_IMODE(os.lstat(path).st_mode)
            journal[os.path.relpath(path, root)] = meta._replace(mode=kind | mode)
    write_journal(tree, journal)


def run_step(room: Path, trees: list[str], ops: Mapping[bytes, list[Op]], owners: Owners = "real") -> disk.Files:
    """Carry out operations on the view of `trees`, the topmost of which is written; what it shows then."""
    mounted = room / f"mounted-{len(trees)}"
    mount([f"{tree}/diff" for tree in trees], room / f"work-{len(trees)}", mounted)
    try:
        for name, case in ops.items():
            steps.perform(os.fsencode(mounted / os.fsdecode(name)), case)
        return disk.of_tree(Shown(os.fsencode(mounted), shown_journal(trees), owners, trees))
    finally:
        ctypes.CDLL(None).umount2(os.fsencode(mounted), 2)


class Shown(disk.Tree):
    """A mounted view. Which names are one file is asked below it.

    overlayfs gives a file that was copied up the inode number of the lower one, and its new hard links another. It
    breaks links when a name is copied up; where that changed nothing else the file still counts as the lower one.
    """

    def __init__(self, diff: bytes, journal: dict[bytes, Meta], owners: Owners, below: list[str]) -> None:
        super().__init__(diff, journal, owners)
        self.below = [disk.Tree(os.fsencode(tree) + b"/diff", read_journal(tree), owners) for tree in below]

    def inode(self, name: bytes) -> tuple[int, int]:
        first, *rest = (tree for tree in self.below if os.path.lexists(tree.path(name)))
        for lower in rest:
            if os.lstat(first.path(name)).st_nlink > 1 or disk.entry(first, name) != disk.entry(lower, name):
                break
            first = lower
        return first.inode(name)


def shown_journal(trees: list[str]) -> dict[bytes, Meta]:
    """Of what shows from the lowest tree: what is copied up loses the record."""
    tops = [os.fsencode(tree) + b"/diff" for tree in trees[:-1]]
    records = read_journal(trees[-1])
    return {name: meta for name, meta in records.items() if not any(os.path.lexists(top + b"/" + name) for top in tops)}


def mount(directories: list[str], work: Path, target: Path) -> None:
    for path in (work, target):
        path.mkdir()
    upper, *lowers = directories
    options = f"{OVERLAY_OPTIONS},lowerdir={':'.join(lowers)},upperdir={upper},workdir={work}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"overlay", os.fsencode(target), b"overlay", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount overlay")


def pack(trees: list[str], owners: Owners) -> LayerBytes:
    out = io.BytesIO()
    packed = pack_diff(trees[0], trees[1:], out, owners=owners, clamp=CLAMP)
    twin = twin_pack(trees[:1], trees[1:], owners=owners, clamp=CLAMP, layer=True)
    assert plain(out.getvalue()) == twin, "the twins differ"
    return packed.diff_id, out.getvalue()


# ---- checking ----


def check(room: Path, cases: Mapping[bytes, Case], owners: Owners, appliers: Sequence[str]) -> list[str]:
    """What is wrong, a line for each name that differs."""
    room.mkdir()
    try:
        made = make(room, cases, owners)
        return [line for applier in appliers for line in compare(made, room, owners, applier)]
    except AssertionError as error:
        return [str(error)]


def compare(made: Made, room: Path, owners: Owners, applier: str) -> list[str]:
    applied = APPLIERS[applier](made.layers, room, owners)
    expected, found = made.seen, applied.files
    if not applied.owners:
        expected, found = disk.without_owners(expected), disk.without_owners(found)
    if applier == "umoci":
        expected = without_empty_xattrs(expected)
    if applier == "umoci" and owners == "recorded":
        expected, found = without_node_owners(expected), without_node_owners(found)
    return [
        f"{applier}: {name!r}\n  seen {one}\n  gave {other}" for name, one, other in disk.differences(expected, found)
    ]


def without_node_owners(files: disk.Files) -> disk.Files:
    """No symlink and no FIFO can hold the xattr in which a rootless umoci keeps owners."""
    kinds = (stat.S_IFREG, stat.S_IFDIR)
    return {
        name: entry if stat.S_IFMT(entry.mode) in kinds else entry._replace(uid=0, gid=0)
        for name, entry in files.items()
    }


def without_empty_xattrs(files: disk.Files) -> disk.Files:
    """Go's archive/tar takes an extended header without a value for one that is not there."""
    return {
        name: entry._replace(xattrs=tuple(item for item in entry.xattrs if item[1])) for name, entry in files.items()
    }


class Smaller:
    """Looks for the smallest case that still fails."""

    def __init__(self, room: Path, owners: Owners, appliers: Sequence[str]) -> None:
        self.room, self.owners, self.appliers = room, owners, appliers
        self.tries = itertools.count()

    def fails(self, case: Case) -> list[str]:
        return check(self.room / f"try-{next(self.tries)}", {b"case": case}, self.owners, self.appliers)

    def first(self, cases: Mapping[bytes, Case]) -> Case | None:
        return next((case for case in cases.values() if self.fails(case)), None)

    def shrink(self, case: Case) -> Case:
        for part in ("second", "first", "base"):
            ops: list[Op] = getattr(case, part)
            for number in reversed(range(len(ops))):
                without = case._replace(**{part: ops[:number] + ops[number + 1 :]})
                if self.fails(without):
                    case, ops = without, getattr(without, part)
        return case


def report(case: Case, wrong: list[str]) -> str:
    parts = [f"  {part}:\n{steps.show(getattr(case, part))}" for part in ("base", "first", "second")]
    return "\n".join([f"seed {case.seed}, made smaller:", *parts, *wrong])


def run(room: Path, tier: str, seeds: Sequence[int], appliers: Sequence[str]) -> None:
    owners: Owners = "real" if tier == "userns" else "recorded"
    cases = {b"%d" % seed: draw_case(seed) for seed in seeds}
    if wrong := check(room / "all", cases, owners, appliers):
        search = Smaller(room, owners, appliers)
        case = search.first(cases)
        case = case and search.shrink(case)
        raise SystemExit(report(case, search.fails(case)) if case else "\n".join(wrong[:10]))


def in_memory(room: Path) -> None:
    """Nothing to write to a disk, and nothing to remove; a kernel before 6.6 has no user xattrs there."""
    libc = ctypes.CDLL(None)
    libc.mount(b"tmpfs", os.fsencode(room), b"tmpfs", 0, b"mode=755")
    try:
        os.setxattr(room, "user.test", b"1")
    except OSError:
        libc.umount2(os.fsencode(room), 2)


def main(top: str, tier: str, where: str, seed: int, count: int, *appliers: str) -> None:
    os.umask(0o022)
    userns.enter("userns" if tier == "userns" else "single")
    room = Path(top)
    room.mkdir()
    if where == "memory":
        in_memory(room)
    try:
        run(room, tier, range(seed, seed + count), appliers)
    finally:
        subprocess.run(["rm", "-rf", *room.iterdir()], check=True)  # sub-ids' files are removed from inside


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), *sys.argv[6:])
