"""What a bind or the seed of a cache reads: one path of a context, a stage or an image."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.executor.copy_key import changed_since, content_parts
from builder.executor.members import Member, Members, all_below
from builder.executor.select import Source
from builder.graph.ops import ContextOp
from builder.layers import place as layers_place
from builder.layers.tree import create_tree
from builder.snapshots.filetree import join, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from builder.graph.graph import Graph
    from builder.graph.ops import ExecOp
    from builder.layers.tree import Owners
    from builder.snapshots.filetree import Entry, FileTree
    from builder.sources.context import ContextTree
    from builder.sources.hashes import FileHashes

STAGE = "the stage or image that it is mounted from"
TOP = "top"  # what is copied lies under this name, whatever it is called where it comes from


def select(tree: FileTree, path: str, where: str) -> Source:
    """The file or directory that `path` names in `tree`, with all that is below. BuildError when there is none."""
    entry = find(tree, path, where)
    return Source("", entry, all_below(tree, entry.path, None) if entry.is_dir else Members("", ()))


def find(tree: FileTree, path: str, where: str = STAGE) -> Entry:
    entry = tree.entry(resolve(tree, path))
    if entry is None:
        raise BuildError(f'"{path}": not found in {where}', hint="see source= of --mount")
    return entry


def context_source(name: str, path: str, context: ContextTree) -> Source:
    return select(context, path, f"the build context {name!r}" if name else "the build context")


def content(
    op: ExecOp, graph: Graph, contexts: Mapping[str, ContextTree], hashes: Mapping[str, FileHashes]
) -> list[object]:
    """What of build contexts the mounts of `op` show: names, types, modes, xattrs and content."""
    parts: list[object] = []
    for mount in op.mounts:
        source = graph[mount.source] if mount.source else None
        if isinstance(source, ContextOp):
            context = contexts[source.name]
            found = context_source(source.name, mount.path, context)
            look = [found.entry.mode, *context.xattrs(found.entry.path)]
            parts.append([look, content_parts([found], context, hashes[source.name])])
    return parts


def shows_as_is(source: Source, context: ContextTree) -> bool:
    """Whether the files themselves look to a step as a copy of them would.

    Not so where the ignore file hides something, where others own something, and where there are sockets and
    devices, which would reach the host, or something mounted, which might stay writable.
    """
    return _complete(source, context) and all(
        _plain(entry, source.entry) and _ours(os.path.join(context.root, entry.path)) for entry in _entries(source)
    )


def verify(source: Source, context: ContextTree) -> None:
    """Raise BuildError where what `shows_as_is` is no longer as it was selected."""
    _refuse_changes(source, context)
    if not _complete(source, context):
        raise _changed(source.entry.path)


def _refuse_changes(source: Source, context: ContextTree) -> None:
    path = changed_since([source], context)
    if path is not None:
        raise _changed(path)


def _changed(path: str) -> BuildError:
    return BuildError(
        f'"/{path}" was changed while it was being mounted', hint="build again when nothing writes to the build context"
    )


def _complete(source: Source, context: ContextTree) -> bool:
    directories = (entry.path for entry in _entries(source) if entry.is_dir)
    return sum(len(os.listdir(os.path.join(context.root, path))) for path in directories) == len(source.members)


def _entries(source: Source) -> Iterator[Entry]:
    yield source.entry
    yield from (member.entry for member in source.members)


def _plain(entry: Entry, top: Entry) -> bool:
    return (entry.is_dir or entry.is_file or entry.is_link) and entry.inode[0] == top.inode[0]


def _ours(path: str) -> bool:
    found = os.lstat(path)
    return found.st_uid == found.st_gid == 0  # as the namespace of the build maps them


def copy_context(source: Source, context: ContextTree, tree: str, owners: Owners) -> None:
    """A copy as the ignore file shows it, owned by 0:0 as COPY has it, under TOP of the new tree `tree`."""
    create_tree(tree)
    layers_place.place(_rows(source, context, (0, 0)), tree, owners=owners, source="context")
    _refuse_changes(source, context)


def copy_stage(source: Source, view: FileTree, tree: str, owners: Owners) -> None:
    """A copy with the owners that the stage has, under TOP of the new tree `tree`."""
    create_tree(tree)
    layers_place.place(_rows(source, view, None), tree, owners=owners, source="tree")


def _rows(source: Source, tree: FileTree, owner: tuple[int, int] | None) -> list[tuple[object, ...]]:
    members: Sequence[Member] = (Member("", source.entry), *source.members)
    rows = (_row(member, tree, owner or (member.entry.uid, member.entry.gid)) for member in members)
    return [row for row in rows if row]


def _row(member: Member, tree: FileTree, owner: tuple[int, int]) -> tuple[object, ...] | None:
    """One entry as `builder.layers.place.Entry` has it; None for a socket, which has nothing to copy."""
    entry = member.entry
    kind = _kind(entry)
    if kind is None:
        return None
    mode = entry.mode if kind == "device" else stat.S_IMODE(entry.mode)
    extra = entry.rdev if kind == "device" else None
    path = os.fsencode(join(TOP, member.path) if member.path else TOP)
    origin = (tree.descriptor(entry.place), os.fsencode(entry.path))
    return (kind, path, mode, *owner, entry.mtime_ns, *origin, extra)


def _kind(entry: Entry) -> layers_place.Kind | None:
    if entry.is_dir:
        return "dir"
    if entry.is_file:
        return "file"
    if entry.is_link:
        return "symlink"
    if stat.S_ISFIFO(entry.mode):
        return "fifo"
    return None if stat.S_ISSOCK(entry.mode) else "device"
