"""A table of SHA-256 digests on disk: rows of one size behind a checksum of them all. Any damage empties it."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FORMAT = b"rbuild digests 2\n"
_DIGEST = 32


class Table:
    """Reads its file when it is first asked. Concurrent builds may each write one: the last stays, whole."""

    def __init__(self, path: str, key_size: int) -> None:
        self._path = path
        self._key_size = key_size
        self._known: dict[bytes, bytes] | None = None
        self._new: dict[bytes, bytes] = {}
        self._used: set[bytes] = set()

    def get(self, key: bytes) -> bytes | None:
        self._used.add(key)
        if self._known is None:
            self._known = self._load()
        return self._known.get(key) or self._new.get(key)

    def put(self, key: bytes, digest: bytes) -> None:
        self._new[key] = digest

    def save(self, others: Callable[[], set[bytes]] = set, count: int = 0) -> None:
        """Add what is new. Where there is far more than was asked for and `count` others that matter, the rest goes."""
        if not self._new:
            return
        rows = {**(self._known or {}), **self._new}
        if len(rows) > 4 * (len(self._used) + count) + 1000:
            kept = self._used | others()
            rows = {key: digest for key, digest in rows.items() if key in kept}
        try:
            self._write(b"".join(key + digest for key, digest in rows.items()))
        except OSError:
            pass  # the next build reads the files again

    def _write(self, body: bytes) -> None:
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        temporary = f"{self._path}.{os.getpid()}-{id(self):x}"
        try:
            with open(temporary, "xb") as file:
                file.write(_checksum(body) + body)
            os.rename(temporary, self._path)
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)

    def _load(self) -> dict[bytes, bytes]:
        try:
            with open(self._path, "rb") as file:
                found = file.read()
        except OSError:
            return {}
        body = found[_DIGEST:]
        size = self._key_size + _DIGEST
        if found[:_DIGEST] != _checksum(body) or len(body) % size:
            return {}
        starts = range(0, len(body), size)
        return {body[at : at + self._key_size]: body[at + self._key_size : at + size] for at in starts}


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(_FORMAT + body).digest()
