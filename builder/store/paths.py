"""Where the store is, what its parts are called, and what to tell the user when the disk says no.

rbuild-store              {"version": 1}: written last, so that its presence means a complete store
oci-layout, index.json    with blobs/sha256/…: a valid OCI layout at all times
index.lock                flock'ed by whoever changes index.json or makes the store
layers/<owners>/<id>/     unpacked layers           snapshots/<owners>/<id>/    results of ops
cache/<2 hex>/<key>.json  records                   leases/<pid>                one flock'ed file a process
tmp/<lease>/…             staging; rubbish as soon as nobody holds the lease
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import StoreError, remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION_FILE = "rbuild-store"
INDEX = "index.json"
INDEX_LOCK = "index.lock"
LAYOUT = "oci-layout"
BLOBS = "blobs/sha256"
CACHE = "cache"
LEASES = "leases"
TMP = "tmp"
DIRECTORIES = ("blobs", BLOBS, "layers", "snapshots", CACHE, LEASES, TMP)

_ELSEWHERE = "name another place with --store or RBUILD_STORE, on a disk that you can write"
_HINTS = {
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EROFS: _ELSEWHERE,
    errno.ENOTDIR: "a part of the path is a file; " + _ELSEWHERE,
    errno.EEXIST: "there is a file in the place of a directory; " + _ELSEWHERE,
    errno.ENOSPC: "the disk is full; free some space, or " + _ELSEWHERE,
    errno.EDQUOT: "your disk quota is used up; free some space, or " + _ELSEWHERE,
}


def store_root(explicit: str | None) -> str:
    """The absolute path of the store: given, else $RBUILD_STORE, else below the user's data directory."""
    chosen = explicit or os.environ.get("RBUILD_STORE")
    if chosen:
        return os.path.abspath(chosen)
    base = os.environ.get("XDG_DATA_HOME", "")
    # The XDG base directory specification: "All paths must be absolute … ignore" others.
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.local/share")
    return os.path.join(os.path.abspath(base), "rbuild")


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Turn an OSError into a StoreError that says what was being done, to which path, and what helps."""
    try:
        yield
    except OSError as error:
        raise store_error(doing, error) from error


def store_error(doing: str, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    message = f"cannot {doing}: {reason}" + (f" ({where})" if where and where not in doing else "")
    return StoreError(message, hint=_HINTS.get(error.errno or 0) or remedy(error))
