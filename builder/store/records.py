"""Records: small JSON objects by key, "what a key produced". Losing one costs time, never correctness.

They are renamed into place without fsync. So that a torn or damaged one is told from a good one, the
file carries the checksum of the record's text:  {"sha256":"…","record":{…}}
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.errors import StoreError
from builder.store.files import read_file, write_file
from builder.store.paths import CACHE, store_errors

if TYPE_CHECKING:
    from builder.store.leases import Lease

_KEY = re.compile(r"[0-9a-f]{6,128}", re.ASCII)
_HEAD = b'{"sha256":"'
_MIDDLE = b'","record":'
_BODY = len(_HEAD) + 64 + len(_MIDDLE)


class Records:
    def __init__(self, root: str, lease: Lease) -> None:
        self._root = root
        self._lease = lease

    def path(self, key: str) -> str:
        if not _KEY.fullmatch(key):
            raise StoreError(f"not a cache key: {key[:100]!r}")
        return f"{self._root}/{CACHE}/{key[:2]}/{key}.json"

    def get(self, key: str) -> dict[str, object] | None:
        """The record, or None: never there, torn, damaged and unreadable are all a miss."""
        try:
            content = read_file(self.path(key))
            body = content[_BODY:-1]
            if content != _framed(body):
                return None
            record = json.loads(body)
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def put(self, key: str, record: dict[str, object]) -> None:
        """Record; the last one stays. It may be lost if the machine stops."""
        body = json.dumps(record, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode()
        path = self.path(key)
        with store_errors(f"write {path}"):
            staged = self._lease.staging("record")
            write_file(staged, _framed(body), durable=False)
            try:
                os.rename(staged, path)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.rename(staged, path)

    def remove(self, key: str) -> None:
        with store_errors(f"remove record {key}"), suppress(FileNotFoundError):
            os.unlink(self.path(key))


def _framed(body: bytes) -> bytes:
    return _HEAD + hashlib.sha256(body).hexdigest().encode() + _MIDDLE + body + b"}"
