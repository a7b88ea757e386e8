"""Executes COPY and ADD: select, plan, place."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING

from builder.executor import accounts
from builder.executor.archives import FileReader, is_archive
from builder.executor.chmod import Mode
from builder.executor.copy_plan import CopyPlan, Inline, Placement, Rules
from builder.executor.members import Member
from builder.layers import codec
from builder.layers import place as layers_place
from builder.layers.tree import IMPLIED_NS
from builder.layers.unpack import unpack
from builder.snapshots.filetree import join, resolve
from builder.snapshots.shared import lent
from builder.snapshots.snapshot import Snapshot
from builder.snapshots.view import View
from builder.sources.context import ContextTree
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.executor.select import Source
    from builder.graph.ops import CopyOp
    from builder.layers.tree import Owners
    from builder.snapshots.filetree import Entry, FileTree


class Target(NamedTuple):
    """Where a COPY writes: the view below, the new tree, and room for what has to be unpacked first.

    `unseen`: it is copied from trees that do not change, and no step of this build runs on the new one.
    """

    base: View
    tree: str
    scratch: str
    owners: Owners
    warn: Callable[[str], None]
    trap: Callable[[str, str], None]
    unseen: bool = False


class Batch(NamedTuple):
    """What is copied from one tree."""

    tree: FileTree
    sources: list[Source]
    unpack: bool


def copy(op: CopyOp, batches: list[Batch], target: Target) -> None:
    """Write what `op` copies into the new tree `target.tree`."""
    plan = CopyPlan(target.base, op.dest, _rules(op, target), target.trap)
    archives: list[tuple[FileTree, Source]] = []
    alone = sum(len(batch.sources) for batch in batches) + len(op.files) == 1
    for batch in batches:
        start = len(plan.placements)
        for source in batch.sources:
            if batch.unpack and source.entry.is_file and _is_archive(batch.tree, source.entry):
                archives.append((batch.tree, source))
            else:
                plan.add(source, batch.tree, alone=alone)
        _write(plan.placements[start:], batch.tree, target)
    start = len(plan.placements)
    for file in op.files:
        plan.add_inline(Inline(file.name, os.fsencode(file.content)))
    _write(plan.placements[start:], target.base, target)
    for tree, source in archives:
        _add_archive(op, source, tree, target)


def make_directory(path: str, owner: tuple[int, int], target: Target) -> None:
    """WORKDIR: the directory (absolute) and its missing parents, 0755, owned by `owner`. What exists stays as it is."""
    entry = target.base.entry(resolve(target.base, path))
    if entry is not None and entry.is_dir:
        return
    plan = CopyPlan(target.base, f"{path}/", Rules(owner, None))
    plan.make_destination()
    _write(plan.placements, target.base, target)


def _rules(op: CopyOp, target: Target) -> Rules:
    chmod = Mode(op.chmod) if op.chmod else None
    if op.chown:
        return Rules(owner(op.chown, "--chown=", target), chmod)
    return Rules(None if op.keep_owner else (0, 0), chmod)


def owner(spec: str, origin: str, target: Target) -> tuple[int, int]:
    """uid and gid of `user[:group]`, as --chown has it and WORKDIR too. `origin` is for the warning."""
    uid, gid, warning = accounts.owner(spec, target.base)
    if warning:
        target.trap("UnknownOwnerName", f"{origin}{spec}: {warning}")
        target.warn(f"{origin}{spec}: {warning}")
    return uid, gid


def _is_archive(tree: FileTree, entry: Entry) -> bool:
    descriptor = tree.open(entry)
    try:
        return is_archive(descriptor)
    finally:
        os.close(descriptor)


def _add_archive(op: CopyOp, source: Source, tree: FileTree, target: Target) -> None:
    """Unpack beside, then merge: links that the root file system has on the way are then resolved by our rules."""
    unpacked = os.path.join(target.scratch, f"archive-{time.monotonic_ns()}")
    descriptor = tree.open(source.entry)
    try:
        reader = codec.decompressed(FileReader(descriptor), name=codec.sniff(os.pread(descriptor, 512, 0)))
        unpack(reader, unpacked, owners=target.owners, whiteouts="literal")
    finally:
        os.close(descriptor)
    owner = _rules(op, target).owner if op.chown else None
    with View(Snapshot((unpacked,)), target.owners) as content:
        plan = CopyPlan(target.base, op.dest, Rules(owner, None, replace=True))
        plan.make_destination()
        plan.add_members(_members(content, "", target.base, plan.destination))
        _write(plan.placements, content, target)


def _members(content: View, directory: str, base: View, at: str) -> Iterator[Member]:
    """What an archive has in `directory`, for `at`. Those that it only implies stay as they are, links too."""
    for entry in content.entries(directory):
        path = join(at, entry.name)
        there = base.entry(resolve(base, path)) if entry.mtime_ns == IMPLIED_NS else None
        if there and there.is_dir:
            path = there.path
        else:
            yield Member(path, entry)
        if entry.is_dir:
            yield from _members(content, entry.path, base, path)


def _write(placements: list[Placement], tree: FileTree, target: Target) -> None:
    """One batch, so that directories get their times when all in them is written."""
    if not placements:
        return
    kind: layers_place.Source = "context" if isinstance(tree, ContextTree) else "tree"
    rows = [_row(item, target.base if item.kind == "copyup" else tree) for item in placements]
    last = placements[-1]
    trees = tree.merged(last.origin.path) if last.kind == "subtree" and last.origin and isinstance(tree, View) else ()
    with lent(trees if target.unseen else (), target.tree) as linked:
        descriptors = [tree.descriptor(one) for one in trees]
        layers_place.place(rows, target.tree, owners=target.owners, source=kind, trees=descriptors, lent=linked)


def _row(item: Placement, tree: FileTree) -> tuple[object, ...]:
    """One entry as `builder.layers.place.Entry` has it."""
    path = os.fsencode(item.path)
    origin = item.origin
    if item.kind == "subtree" and origin is not None:
        return ("subtree", path, item.mode, item.uid, item.gid, None, -1, os.fsencode(origin.path), None)
    mode = item.mode if item.kind == "device" else stat.S_IMODE(item.mode)
    if item.kind == "hardlink":
        return ("hardlink", path, mode, item.uid, item.gid, None, -1, b"", os.fsencode(item.link))
    if origin is None or stat.S_ISSOCK(origin.mode):
        extra = item.content if item.kind == "file" else None
        return (item.kind, path, mode, item.uid, item.gid, None, -1, b"", extra)
    extra_rdev = origin.rdev if item.kind == "device" else None
    source = (tree.descriptor(origin.place), os.fsencode(origin.path))
    return (item.kind, path, mode, item.uid, item.gid, origin.mtime_ns, *source, extra_rdev)
