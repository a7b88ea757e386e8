"""Layers that others make of random changes: read by us they are the files that others read, and their disk had.

    python -m tests.support.foreign umoci|buildah DIRECTORY SEED COUNT

Run inside a user namespace; for buildah by `buildah unshare`, with BUILDAH the command and its storage.
"""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from builder.layers.tree import Owners
from builder.sandbox import userns
from tests.support import disk, steps
from tests.support.appliers import LayerBytes, gnu_tar, ours, umoci
from tests.support.disk import Entry
from tests.support.layouts import read_layout
from tests.support.overlay_changes import without_empty_xattrs, without_node_owners

ROUNDS = 3


def tool(*words: str | Path) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{words}: {os.fsdecode(done.stderr)}")
    return done.stdout.decode().strip()


def change(root: Path, dice: random.Random, count: int) -> None:
    """In directories of their own, so that one case spoils no other."""
    for number in range(count):
        inside = root / str(number)
        inside.mkdir(exist_ok=True)
        steps.perform(os.fsencode(inside), steps.draw(dice, dice.randint(0, 15)))


def by_umoci(room: Path, dice: random.Random, count: int) -> disk.Files:
    layout, bundle = room / "made", room / "bundle"
    tool("umoci", "init", "--layout", layout)
    tool("umoci", "new", "--image", f"{layout}:test")
    for number in range(ROUNDS):
        bundle = room / f"bundle-{number}"
        tool("umoci", "unpack", "--rootless", "--image", f"{layout}:test", bundle)
        change(bundle / "rootfs", dice, count)
        tool("umoci", "repack", "--image", f"{layout}:test", bundle)
    return disk.of_directory(str(bundle / "rootfs"))


def by_buildah(room: Path, dice: random.Random, count: int) -> disk.Files:
    buildah = os.environ["BUILDAH"].split()
    image = "scratch"
    for number in range(ROUNDS):
        container = tool(*buildah, "from", "--pull-never", image)
        mounted = Path(tool(*buildah, "mount", container))
        change(mounted, dice, count)
        image = f"round-{number}"
        tool(*buildah, "commit", "-q", container, image)
    seen = disk.of_directory(str(mounted))
    tool(*buildah, "push", "-q", image, f"oci:{room / 'made'}:test")
    return seen


MAKERS: dict[str, Callable[[Path, random.Random, int], disk.Files]] = {"umoci": by_umoci, "buildah": by_buildah}


def main(maker: str, top: str, seed: int, count: int) -> None:
    os.umask(0o022)
    if maker == "umoci":
        userns.enter("single")
    owners: Owners = "recorded" if maker == "umoci" else "real"
    room = Path(top)
    room.mkdir()
    try:
        seen = MAKERS[maker](room, random.Random(seed), count)
        read = read_layout(room / "made")
        made: list[LayerBytes] = [
            (diff_id, read.blobs[layer["digest"]])
            for diff_id, layer in zip(read.config["rootfs"]["diff_ids"], read.manifest["layers"], strict=True)
        ]
        compare(seen, made, room, owners)
    finally:
        tool("rm", "-rf", room)


def compare(seen: disk.Files, made: list[LayerBytes], room: Path, owners: Owners) -> None:
    """Ours against two others in all, against the disk in what the makers keep of it: buildah's layers lack changes
    of a directory's attributes alone, and links that come to a file that is there."""
    given = ours(made, room, owners, repack=False).files
    tarred = gnu_tar(made, room, "recorded", strict=False).files
    told(disk.without_owners(tarred), disk.without_owners(given), "GNU tar")
    theirs = umoci(made, room, owners).files
    told(without_node_owners(theirs), without_node_owners(without_empty_xattrs(given)), "umoci")
    told(contents(seen), contents(given), "the disk")


def contents(files: disk.Files) -> disk.Files:
    return {name: Entry(stat.S_IFMT(entry.mode), 0, 0, 0, is_=entry.is_) for name, entry in files.items()}


def told(expected: disk.Files, found: disk.Files, who: str) -> None:
    if wrong := disk.differences(expected, found):
        lines = [f"{name!r}\n  {who}: {one}\n  ours: {other}" for name, one, other in wrong[:10]]
        raise SystemExit("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
