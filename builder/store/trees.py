"""Trees: directories of files, immutable once they are in place.

layers/<owners>/<diff id hex>/, and <id>.attributes/ for the top of a stack of them; snapshots/<owners>/<id>/; and
sources/both/<id>/ (what was fetched: all of it is root's, which both formats say alike), each built under tmp/ and
renamed.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from builder.errors import StoreError
from builder.store.files import remove_tree
from builder.store.paths import store_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.store.leases import Lease

Kind = Literal["layers", "snapshots", "sources"]
Owners = Literal["real", "recorded", "both"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)


class Trees:
    def __init__(self, root: str, lease: Lease) -> None:
        self._root = root
        self._lease = lease

    def path(self, kind: Kind, owners: Owners, name: str) -> str:
        """Where the tree is if it is there at all."""
        if not _NAME.fullmatch(name):
            raise StoreError(f"not the name of a tree: {name[:100]!r}")
        return f"{self._root}/{kind}/{owners}/{name}"

    def exists(self, kind: Kind, owners: Owners, name: str) -> bool:
        return os.path.isdir(self.path(kind, owners, name))

    @contextmanager
    def scratch(self, prefix: str = "tree") -> Iterator[str]:
        """A new directory for this process; removed at the end of the block unless published."""
        path = self._lease.staging(prefix)
        with store_errors("stage a tree"):
            os.mkdir(path, 0o755)
        try:
            yield path
        finally:
            if os.path.lexists(path):
                remove_tree(path)

    def publish(self, staged: str, kind: Kind, owners: Owners, name: str) -> str:
        """Move a staged directory into its place and give the place.

        "Already there" is success, and the staged one is left to its scratch block: trees of one name
        are equal. Not fsynced: a tree is made again from its layer or step if the machine stops.
        """
        place = self.path(kind, owners, name)
        with store_errors(f"publish {place}"):
            try:
                self._rename(staged, place)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
        return place

    def remove(self, kind: Kind, owners: Owners, name: str) -> bool:
        """Take a tree away; False if some of it had to stay under tmp/ (files of other ids)."""
        staged = self._lease.staging("removed")
        with store_errors(f"remove {self.path(kind, owners, name)}"):
            try:
                os.rename(self.path(kind, owners, name), staged)
            except FileNotFoundError:
                return True
        return remove_tree(staged)

    def _rename(self, staged: str, place: str) -> None:
        try:
            os.rename(staged, place)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.rename(staged, place)
