"""SHA-256 of context files, remembered by what changes whenever a file does.

    hashes/<id of the context>.json   {"<dev>:<ino>:<size>:<mtime_ns>:<ctime_ns>": "<64 hex>", …}

A digest is only remembered when the file's times lie safely in the past: a file that is changed twice
within one tick of the file system's clock has the same stat before and after.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING

from builder.sources.context import unreadable

if TYPE_CHECKING:
    from builder.snapshots.filetree import Entry
    from builder.sources.context import ContextTree

_SETTLED_NS = 2_000_000_000  # two seconds: the coarsest clock of a file system in use (FAT)
_BLOCK = 1 << 20


class FileHashes:
    """Digests of one context. Loads lazily, saves what is new; losing the file costs time only."""

    def __init__(self, directory: str, root: str) -> None:
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
        self._file = os.path.join(directory, f"{name}.json")
        self._known: dict[str, str] | None = None
        self._used: dict[str, str] = {}
        self._changed = False
        self._now = time.time_ns()

    def digest(self, tree: ContextTree, entry: Entry) -> str:
        """64 hex digits for the content of a regular file."""
        dev, inode = entry.inode
        key = f"{dev}:{inode}:{entry.size}:{entry.mtime_ns}:{entry.ctime_ns}"
        known = self._load().get(key)
        if known is None:
            known = _sha256(tree, entry)
            self._changed = True
        if self._now - max(entry.mtime_ns, entry.ctime_ns) > _SETTLED_NS:
            self._used[key] = known
        return known

    def save(self) -> None:
        """Keep what this build used, and what earlier ones did while that is not much more."""
        if not self._changed or not self._used:
            return
        known = self._load()
        kept = {**known, **self._used} if len(known) < 4 * len(self._used) + 1000 else self._used
        os.makedirs(os.path.dirname(self._file), exist_ok=True)
        temporary = f"{self._file}.{os.getpid()}"
        try:
            with open(temporary, "w") as file:
                json.dump(kept, file, separators=(",", ":"))
            os.rename(temporary, self._file)
        except OSError:  # only a cache: the next build reads the files again
            if os.path.exists(temporary):
                os.unlink(temporary)

    def _load(self) -> dict[str, str]:
        if self._known is None:
            try:
                with open(self._file) as file:
                    content = json.load(file)
                self._known = content if isinstance(content, dict) else {}
            except (OSError, ValueError):
                self._known = {}
        return self._known


def _sha256(tree: ContextTree, entry: Entry) -> str:
    hasher = hashlib.sha256()
    try:
        with open(tree.open(entry), "rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                hasher.update(block)
    except OSError as error:
        raise unreadable(entry.path, error) from error
    return hasher.hexdigest()
