"""Three ways to apply layers, each giving the files that came out: ours, GNU tar with a script, umoci.

The script knows what the image specification says of applying a layer, and nothing else.
"""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from builder.layers.codec import decompressed
from builder.layers.pack import pack_diff, pack_view
from builder.layers.tree import Meta, Owners
from builder.layers.unpack import unpack
from builder.snapshots.implied import make_attributes
from builder.snapshots.snapshot import Snapshot
from tests.support import disk
from tests.support.layouts import make_layout
from tests.support.steps import clear

CLAMP = 2**40
ROOTLESS = "user.rootlesscontainers"
_UNSET = 2**32 - 1
LayerBytes = tuple[str, bytes]  # diff ID, gzip


class Applied(NamedTuple):
    """The files, and whether their owners say anything."""

    files: disk.Files
    owners: bool


def plain(layer: bytes) -> bytes:
    reader = decompressed(io.BytesIO(layer), name="gzip")
    return b"".join(iter(lambda: reader.read(1 << 20), b""))


def ours(layers: Sequence[LayerBytes], room: Path, owners: Owners, *, repack: bool = True) -> Applied:
    """Unpacked and seen as one; each layer of ours that is packed again is the same layer."""
    trees: list[str] = []
    for number, (diff_id, data) in enumerate(layers):
        tree = str(room / f"ours-{number}")
        unpack(io.BytesIO(data), tree, owners=owners)
        if repack:
            again = pack_diff(tree, trees, io.BytesIO(), owners=owners, clamp=CLAMP, compression="none")
            assert again.diff_id == diff_id, f"layer {number} packs to another one"
        trees.insert(0, tree)
    top = str(room / "ours-top")
    make_attributes(Snapshot(tuple(trees)), top, owners)
    if os.listdir(f"{top}/diff"):
        trees.insert(0, top)
    out = io.BytesIO()
    pack_view(trees, out, owners=owners, clamp=CLAMP)
    return Applied(disk.of_tar(out.getvalue()), owners=True)


def gnu_tar(layers: Sequence[LayerBytes], room: Path, owners: Owners, *, strict: bool = True) -> Applied:
    """What a layer deletes or replaces goes first; then tar extracts the rest. No whiteout of ours is of nothing."""
    root = room / "gnu-tar"
    root.mkdir()
    same_owner = "--same-owner" if owners == "real" else "--no-same-owner"
    how = ["--numeric-owner", same_owner, "--xattrs", "--xattrs-include=*", "--exclude=.wh.*"]
    how.append("--delay-directory-restore")  # others sort by whole paths, in which a directory's files come apart
    for _, data in layers:
        layer = plain(data)
        times = directory_times(os.fsencode(root))
        named = make_way(layer, os.fsencode(root), strict)
        done = subprocess.run(["tar", "-C", root, "-xpf", "-", *how], input=layer, capture_output=True, check=False)
        assert done.returncode == 0, os.fsdecode(done.stderr)
        assert not done.stderr, os.fsdecode(done.stderr)
        for path in times.keys() - named:
            if os.path.isdir(path) and not os.path.islink(path):
                os.utime(path, ns=(times[path], times[path]))
    return Applied(disk.of_directory(str(root)), owners=owners == "real")


def directory_times(root: bytes) -> dict[bytes, int]:
    """What a layer does not name it does not change, though something comes or goes inside."""
    return {path: os.stat(path).st_mtime_ns for path, _, _ in os.walk(root)}


def make_way(layer: bytes, root: bytes, strict: bool) -> set[bytes]:
    """Image-spec: apply whiteouts, and remove what an entry replaces: all but a directory by a directory.

    Gives what the layer names.
    """
    named = set()
    with tarfile.open(fileobj=io.BytesIO(layer), encoding="utf-8", errors="surrogateescape") as members:
        for member in members:
            above, leaf = os.path.split(os.fsencode(member.name))
            path = os.path.join(root, above, leaf.removeprefix(b".wh."))
            named.add(path)
            if leaf.startswith(b".wh."):
                assert os.path.lexists(path) or not strict, f"a whiteout of nothing: {member.name}"
                clear(path)
            elif os.path.lexists(path) and not (member.isdir() and stat.S_ISDIR(os.lstat(path).st_mode)):
                clear(path)
            elif os.path.lexists(path):
                forget_xattrs(path)
    return named


def forget_xattrs(directory: bytes) -> None:
    """Image-spec: the attributes of a directory are replaced; tar adds to those that are there."""
    for name in os.listxattr(directory):
        os.removexattr(directory, name)


def umoci(layers: Sequence[LayerBytes], room: Path, owners: Owners) -> Applied:
    make_layout(room / "layout", list(layers))
    rootless = ["--rootless"] if owners == "recorded" else []
    command = ["umoci", "raw", "unpack", *rootless, "--image", f"{room}/layout:test", f"{room}/umoci"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, os.fsdecode(done.stderr)
    return Applied(disk.of_tree(Rootless(os.fsencode(room / "umoci"), {}, "real")), owners=True)


class Rootless(disk.Tree):
    """umoci keeps owners that it may not give in an xattr: two numbers as protobuf has them."""

    def meta(self, name: bytes) -> Meta:
        meta = super().meta(name)
        try:
            uid, gid = parse_rootless(os.getxattr(self.path(name), ROOTLESS, follow_symlinks=False))
        except OSError:
            return meta
        return meta._replace(uid=meta.uid if uid == _UNSET else uid, gid=meta.gid if gid == _UNSET else gid)


def parse_rootless(data: bytes) -> tuple[int, int]:
    fields = {1: 0, 2: 0}
    at = 0
    while at < len(data):
        field, at = data[at] >> 3, at + 1
        value = shift = 0
        while True:
            byte, at = data[at], at + 1
            value, shift = value | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        fields[field] = value
    return fields[1], fields[2]


APPLIERS: dict[str, Callable[[Sequence[LayerBytes], Path, Owners], Applied]] = {
    "ours": ours,
    "tar": gnu_tar,
    "umoci": umoci,
}
