"""The store: one directory, shared by any number of builds, with no daemon and no database."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from builder.errors import StoreError
from builder.store.blobs import Blobs
from builder.store.files import locked, read_file, rename_durably, write_file
from builder.store.leases import Lease, sweep
from builder.store.paths import (
    DIRECTORIES,
    INDEX,
    INDEX_LOCK,
    LAYOUT,
    TMP,
    VERSION_FILE,
    store_errors,
    store_root,
)
from builder.store.records import Records
from builder.store.tags import Tags
from builder.store.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 1

_CONTENTS = {
    LAYOUT: b'{"imageLayoutVersion":"1.0.0"}',
    INDEX: b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}',
    VERSION_FILE: b'{"version":%d}' % VERSION,
}
# What may be in a directory that becomes a store: nothing, a fresh volume, or a store half made.
_HARMLESS = frozenset(
    (
        *_CONTENTS,
        *(f"{name}.new" for name in _CONTENTS),
        INDEX_LOCK,
        "lost+found",
        *(name.split("/")[0] for name in DIRECTORIES),
    )
)


class Store:
    """The parts of one store. Make it with `Store.open`; all of it may be used from any thread."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.lease = Lease(root)
        self.blobs = Blobs(root, self.lease)
        self.tags = Tags(root, self.lease)
        self.records = Records(root, self.lease)
        self.trees = Trees(root, self.lease)

    @classmethod
    def open(cls, root: str | None = None) -> Store:
        """The store at `root`, else at $RBUILD_STORE, else in the user's data directory; made if missing.

        An existing one is opened without writing anything, unless a killed process left something to
        remove. StoreError if it cannot be used, or was made by a newer rbuild.
        """
        with store_errors("find the current directory"):
            path = store_root(root)
        with store_errors(f"open the store {path}"):
            if not (_is_store(path) and os.path.isdir(f"{path}/{TMP}")):
                _make(path)
            if os.listdir(f"{path}/{TMP}"):
                sweep(path)
        return cls(path)

    def sweep(self) -> None:
        """Remove what dead processes staged; inside their user namespace also what was not theirs outside."""
        sweep(self.root, self.lease.name)

    def close(self) -> None:
        """Remove what this process has staged. Not needed for safety: the next one would."""
        self.lease.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_store(path: str) -> bool:
    """True for a complete store that we understand; StoreError for one that we do not."""
    try:
        version = json.loads(read_file(f"{path}/{VERSION_FILE}"))["version"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
    if not isinstance(version, int) or version > VERSION:
        raise StoreError(
            f"the store {path} was made by a newer rbuild (its version is {version}, known is {VERSION})",
            hint="use that rbuild, or name another place with --store or RBUILD_STORE",
        )
    return True


def _make(path: str) -> None:
    """Make the store, or complete one whose making was interrupted; several processes may try at once."""
    # Closed to others: its trees hold other users' setuid programs and, for all we know, their secrets.
    os.makedirs(path, 0o700, exist_ok=True)
    strange = sorted(set(os.listdir(path)) - _HARMLESS)
    if strange:
        raise StoreError(
            f"{path} is not a store: it holds {strange[0]}",
            hint="name an empty or new directory with --store or RBUILD_STORE",
        )
    with locked(f"{path}/{INDEX_LOCK}"):
        for name in DIRECTORIES:
            os.makedirs(f"{path}/{name}", 0o755, exist_ok=True)
        _write_missing(path, _CONTENTS.items())


def _write_missing(path: str, contents: Iterable[tuple[str, bytes]]) -> None:
    for name, content in contents:
        if name == VERSION_FILE or not os.path.exists(f"{path}/{name}"):
            staged = f"{path}/{name}.new"
            if os.path.lexists(staged):
                os.unlink(staged)
            write_file(staged, content, durable=True)
            rename_durably(staged, f"{path}/{name}")
