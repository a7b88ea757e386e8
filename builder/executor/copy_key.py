"""What of a build context a COPY or ADD depends on: the part of its cache key that is content."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.executor.members import Member
from builder.snapshots.filetree import join
from builder.sources import listing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.executor.select import Source
    from builder.snapshots.filetree import Entry
    from builder.sources.context import ContextTree, Folder
    from builder.sources.hashes import FileHashes


def content_parts(sources: Sequence[Source], context: ContextTree, hashes: FileHashes) -> list[object]:
    """Names, types, modes, xattrs, link targets, hard links, content; not times, inodes or where the context lies."""
    return [_source_part(source, context, hashes) for source in sources]


def _source_part(source: Source, context: ContextTree, hashes: FileHashes) -> list[object]:
    """Of a directory a digest: it may hold a million files."""
    if not source.entry.is_dir:
        return ["file", source.name, *_entry_part(source.entry, context, hashes)]
    rows = [*_rows(source, context, hashes), *_links(source)]
    return ["dir", hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()]


def _rows(source: Source, context: ContextTree, hashes: FileHashes) -> Iterator[list[object]]:
    """One for each member, or one for each directory that is copied with its files."""
    pieces = source.members.pieces
    contents = iter(hashes.contents(context, [piece for piece in pieces if not isinstance(piece, Member)]))
    for piece in pieces:
        if isinstance(piece, Member):
            yield ["member", piece.path, *_entry_part(piece.entry, context, hashes)]
        else:
            # Of the source's top neither is copied.
            look = [listing.mode_of(piece.row), *context.xattrs(piece.directory)] if piece.path else []
            yield ["folder", piece.path, look, next(contents)]


def _entry_part(entry: Entry, context: ContextTree, hashes: FileHashes) -> list[object]:
    if entry.is_link:
        return ["symlink", context.readlink(entry.path)]
    if entry.is_file:
        return [entry.mode, hashes.digest(context, entry), *context.xattrs(entry.path)]
    if stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode):
        return [entry.mode, entry.rdev]
    return [entry.mode, *(context.xattrs(entry.path) if entry.is_dir else ())]


def _links(source: Source) -> Iterator[list[object]]:
    """Which files are one: each further name with the first."""
    first: dict[object, str] = {}
    for path, identity in _linked(source):
        known = first.setdefault(identity, path)
        if known != path:
            yield ["link", path, known]


def _linked(source: Source) -> Iterator[tuple[str, object]]:
    for piece in source.members.pieces:
        if isinstance(piece, Member):
            if piece.entry.is_file and piece.entry.links > 1:
                yield piece.path, piece.entry.inode
        elif piece.files.linked():
            yield from (
                (join(piece.path, os.fsdecode(name)), listing.inode_of(row))
                for name, row in piece.files.each()
                if stat.S_ISREG(listing.mode_of(row)) and listing.links_of(row) > 1
            )


def changed_since(sources: Sequence[Source], context: ContextTree) -> str | None:
    """The path of a file that is no longer as it was when it was selected, or None."""
    for source in sources:
        pieces = (Member("", source.entry), *source.members.pieces)
        for piece in pieces:
            changed = _changed_entry(piece.entry, context) if isinstance(piece, Member) else _changed_in(piece, context)
            if changed is not None:
                return changed
    return None


def _changed_entry(entry: Entry, context: ContextTree) -> str | None:
    return None if entry.is_dir or context.entry(entry.path) == entry else entry.path


def _changed_in(folder: Folder, context: ContextTree) -> str | None:
    """What has come into the directory meanwhile is no change of what was copied."""
    try:
        now = context.read(folder.directory).files
    except BuildError:
        return folder.directory
    if now == folder.files:
        return None
    rows = dict(now.each())
    changed = (name for name, row in folder.files.each() if rows.get(name) != row)
    return next((join(folder.directory, os.fsdecode(name)) for name in changed), None)
