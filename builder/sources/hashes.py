"""SHA-256 of context files, remembered by what changes whenever a file does, and of what directories hold.

    hashes/<id of the context>.files     stat (dev, inode, size, mtime, ctime)      ─► SHA-256 of the file
    hashes/<id of the context>.folders   SHA-256 of a directory's names and stats   ─► SHA-256 of its content

Each is one table of rows of one size behind a checksum of them, so that a build that finds everything reads a
few bytes a directory and nothing for each file. The second table is looked at first; the first is only opened
for directories in which something has changed. Losing either costs time only, and so does any damage.

A digest is only remembered when the file's times lie safely in the past: a file that is changed twice
within one tick of the file system's clock has the same stat before and after.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import time
from typing import TYPE_CHECKING

from builder.snapshots.filetree import join
from builder.sources.listing import IDENTITY, Files, mode_of, rdev_of
from builder.sources.reading import File, read
from builder.sources.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from builder.snapshots.filetree import Entry
    from builder.sources.context import ContextTree, Folder

_SETTLED_NS = 2_000_000_000  # two seconds: the coarsest clock of a file system in use (FAT)
_DIGEST = 32
_IDENTITY = struct.Struct("=2Q3q")  # as listing.IDENTITY cuts it out of a row


class FileHashes:
    """Digests of one context. Loads lazily, saves what is new."""

    def __init__(self, directory: str, root: str) -> None:
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
        self._files = Table(os.path.join(directory, f"{name}.files"), _IDENTITY.size)
        self._folders = Table(os.path.join(directory, f"{name}.folders"), _DIGEST)
        self._seen: list[Files] = []
        self._now = time.time_ns()

    def digest(self, tree: ContextTree, entry: Entry) -> str:
        """64 hex digits for the content of a regular file."""
        assert isinstance(entry.inode[0], int)
        identity = _IDENTITY.pack(entry.inode[0], entry.inode[1], entry.size, entry.mtime_ns, entry.ctime_ns)
        directory, _, name = entry.path.rpartition("/")
        return self._digests(tree, [File(directory, os.fsencode(name), identity)])[identity].hex()

    def contents(self, tree: ContextTree, folders: Sequence[Folder]) -> list[str]:
        """For each folder 64 hex digits: names, types, modes, xattrs, link targets and content of the files in it."""
        self._seen += (folder.files for folder in folders)
        keys = [_listing_key(folder.files) for folder in folders]
        found = {key: self._folders.get(key) for key in keys}
        missing = {key: folder for key, folder in zip(keys, folders, strict=True) if found[key] is None}
        if missing:
            digests = self._digests(tree, [file for folder in missing.values() for file in _regular(folder)])
            for key, folder in missing.items():
                found[key] = made = _content(tree, folder, digests)
                if self._settled(folder.files.newest()):
                    self._folders.put(key, made)
        return [digest.hex() for key in keys if (digest := found[key])]

    def save(self) -> None:
        """Keep what this build used, and what earlier ones did while that is not much more."""
        self._folders.save()
        count = sum(files.total for files in self._seen)
        self._files.save(lambda: {row[IDENTITY] for files in self._seen for row in files.rows()}, count)

    def _digests(self, tree: ContextTree, files: Sequence[File]) -> dict[bytes, bytes]:
        """By identity. Hard links are one file."""
        found = {file.identity: self._files.get(file.identity) for file in files}
        unread = list({file.identity: file for file in files if found[file.identity] is None}.values())
        for file, digest in zip(unread, read(tree, unread), strict=True):
            found[file.identity] = digest
            if self._settled(file.newest):
                self._files.put(file.identity, digest)
        return {identity: digest for identity, digest in found.items() if digest}

    def _settled(self, newest: int) -> bool:
        return self._now - newest > _SETTLED_NS


def _listing_key(files: Files) -> bytes:
    return hashlib.sha256(b"%d\0%b%b" % (files.total, files.names, files.stats)).digest()


def _regular(folder: Folder) -> Iterator[File]:
    for name, row in folder.files.each():
        if stat.S_ISREG(mode_of(row)):
            yield File(folder.directory, name, row[IDENTITY])


def _content(tree: ContextTree, folder: Folder, digests: Mapping[bytes, bytes]) -> bytes:
    rows = [
        [os.fsdecode(name), *_part(tree, folder.directory, name, row, digests)] for name, row in folder.files.each()
    ]
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).digest()


def _part(tree: ContextTree, directory: str, name: bytes, row: bytes, digests: Mapping[bytes, bytes]) -> list[object]:
    mode = mode_of(row)
    if stat.S_ISLNK(mode):
        return ["symlink", tree.readlink(join(directory, os.fsdecode(name)))]
    if stat.S_ISREG(mode):
        return [mode, digests[row[IDENTITY]].hex(), *tree.xattrs(join(directory, os.fsdecode(name)))]
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return [mode, rdev_of(row)]
    return [mode]
