"""Files from http(s) addresses (dockerfile-language 1.9): fetched once, asked after each build, kept in the store.

    address ─► record (ETag, Last-Modified, SHA-256, tree) ─► conditional GET ─► 304: the tree
                                                                            └─► 200: hash while writing ─► tree

The tree holds the one file, mode 0600, owner 0:0, dated by Last-Modified.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

from builder.dockerfile.gitref import redacted
from builder.dockerfile.remote_source import file_name
from builder.errors import BuildError, OfflineError
from builder.layers.tree import DIFF, create_tree
from builder.sources.fetched import Fetched, file_content, file_tree, identity
from builder.sources.http_client import Downloads
from builder.store.files import create, write_all
from builder.store.paths import store_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.events import Flag
    from builder.net.client import Answer, Patience
    from builder.sources.credentials import Credentials
    from builder.store.store import Store


class ChecksumError(BuildError):
    """What an address gives is not what it had to be."""


_CHECKSUM = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)


class HttpSource:
    def __init__(
        self,
        store: Store,
        credentials: Credentials,
        cancelled: Flag,
        *,
        offline: bool,
        patience: Patience | None = None,
    ) -> None:
        self._store = store
        self._downloads = Downloads(credentials.for_file, cancelled, patience)
        self._offline = offline

    def fetch(self, url: str, checksum: str = "") -> Fetched:
        """The file at `url`, of `checksum` (sha256:…) if one is given; raises before a wrong file is kept.

        With --offline, and where the checksum says that what is kept must be right, no connection is made.
        """
        wanted = _wanted(checksum)
        key = identity("http", url)
        record = self._known(key)
        if record and (self._offline or wanted) and wanted in ("", record["sha256"]):
            return _fetched(self._path(record), record)
        if self._offline:
            raise OfflineError(
                f"{redacted(url)} has not been fetched before, and --offline forbids to fetch it now",
                wanted=redacted(url),
                hint="build once without --offline, or put the file into the build context",
            )
        return self._get(url, wanted, key, record)

    def _get(self, url: str, wanted: str, key: str, record: Mapping[str, str] | None) -> Fetched:
        with self._store.trees.scratch("download") as staged:
            download = _Download(url, wanted, staged)
            self._downloads.get(url, _conditions(record), download.take)
            if download.record is None:
                assert record is not None
                if wanted and record["sha256"] != wanted:
                    raise mismatch(url, wanted, record["sha256"])
                return _fetched(self._path(record), record)
            place = self._store.trees.publish(staged, "sources", "both", download.record["tree"])
        self._store.records.put(key, dict(download.record))
        size = os.path.getsize(os.path.join(place, DIFF, download.record["name"]))
        return _fetched(place, download.record)._replace(moved=True, size=size)

    def _known(self, key: str) -> dict[str, str] | None:
        """The record of an address, if it is whole and its tree is still there."""
        record = self._store.records.get(key)
        if record is None or not all(isinstance(record.get(field), str) for field in _FIELDS):
            return None
        found = {field: str(record[field]) for field in _FIELDS}
        return found if os.path.isdir(self._path(found)) else None

    def _path(self, record: Mapping[str, str]) -> str:
        return self._store.trees.path("sources", "both", record["tree"])


_FIELDS = ("tree", "name", "sha256", "etag", "modified", "time")


class _Download:
    """One file on its way into `tree`. Every try begins anew; `record` stays None when what is kept is still right."""

    def __init__(self, url: str, wanted: str, tree: str) -> None:
        self._url, self._wanted, self._tree = url, wanted, tree
        self.record: dict[str, str] | None = None

    def take(self, response: Answer) -> None:
        if response.status == 304:
            return
        name, modified = file_name(self._url), response.headers.get("last-modified", "")
        path = os.path.join(self._tree, DIFF, name)
        create_tree(self._tree)
        with store_errors(f"keep {redacted(self._url)}"):
            if os.path.lexists(path):
                os.unlink(path)
            descriptor = create(path, 0o600)
        try:
            digest = self._write(response, descriptor)
        finally:
            os.close(descriptor)
        if self._wanted and digest != self._wanted:
            raise mismatch(self._url, self._wanted, digest)
        time = _time_of(modified)
        seconds = 0 if time is None else time
        os.utime(path, (seconds, seconds))
        content = file_content(digest, name, time)
        values = (file_tree(content), name, digest, response.headers.get("etag", ""), modified, content[-1])
        self.record = dict(zip(_FIELDS, values, strict=True))

    def _write(self, response: Answer, descriptor: int) -> str:
        hasher = hashlib.sha256()
        while block := response.read():
            hasher.update(block)
            with store_errors(f"keep {redacted(self._url)}"):
                write_all(descriptor, block)
        return hasher.hexdigest()


def _wanted(checksum: str) -> str:
    match = _CHECKSUM.fullmatch(checksum)
    if checksum and not match:
        raise BuildError(f"invalid checksum {checksum!r} of a download", hint="sha256: and 64 hexadecimal digits")
    return match[1] if match else ""


def mismatch(url: str, wanted: str, found: str) -> ChecksumError:
    return ChecksumError(
        f"{redacted(url)}: the checksum is sha256:{found}, and not sha256:{wanted}",
        hint="the file was changed, or the checksum is of another one",
    )


def _conditions(record: Mapping[str, str] | None) -> dict[str, str]:
    if record is None:
        return {}
    if record["etag"]:
        return {"If-None-Match": record["etag"]}
    return {"If-Modified-Since": record["modified"]} if record["modified"] else {}


def _fetched(tree: str, record: Mapping[str, str]) -> Fetched:
    time = record["time"]
    seconds = int(time) if time else None
    return Fetched(tree, file_content(record["sha256"], record["name"], seconds), seconds, record["name"])


def _time_of(text: str) -> int | None:
    """Seconds of the epoch that an HTTP date says; None where there is none."""
    from email.utils import parsedate_to_datetime

    try:
        return max(0, int(parsedate_to_datetime(text).timestamp()))
    except (ValueError, TypeError, OverflowError):
        return None
