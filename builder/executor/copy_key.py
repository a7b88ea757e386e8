"""What of a build context a COPY or ADD depends on: the part of its cache key that is content."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.executor.select import Source
    from builder.snapshots.filetree import Entry
    from builder.sources.context import ContextTree
    from builder.sources.hashes import FileHashes


def content_parts(sources: Sequence[Source], context: ContextTree, hashes: FileHashes) -> list[object]:
    """Names, types, modes, link targets, hard links and content; not times, inodes or where the context lies."""
    return [_source_part(source, context, hashes) for source in sources]


def _source_part(source: Source, context: ContextTree, hashes: FileHashes) -> list[object]:
    if not source.entry.is_dir:
        return ["file", source.name, *_entry_part(source.entry, context, hashes)]
    first: dict[object, str] = {}
    rows: list[object] = ["dir"]
    for path, entry in source.members:
        link = first.setdefault(entry.inode, path) if entry.is_file and entry.links > 1 else path
        rows.append([path, "link", link] if link != path else [path, *_entry_part(entry, context, hashes)])
    return rows


def _entry_part(entry: Entry, context: ContextTree, hashes: FileHashes) -> list[object]:
    if entry.is_link:
        return ["symlink", context.readlink(entry.path)]
    if entry.is_file:
        return [entry.mode, hashes.digest(context, entry)]
    if stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode):
        return [entry.mode, entry.rdev]
    return [entry.mode]


def changed_since(sources: Sequence[Source], context: ContextTree) -> str | None:
    """The path of a file that is no longer as it was when it was selected, or None."""
    for source in sources:
        for entry in (source.entry, *(member.entry for member in source.members)):
            if not entry.is_dir and context.entry(entry.path) != entry:
                return entry.path
    return None
