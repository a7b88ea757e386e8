"""A registry in memory: the server's side of the distribution protocol, strict about what a client can get wrong.

It keeps what came of an upload that broke off, as real registries do, and takes a manifest only when all
that it names is there.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import parse_qs

_ROUTE = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>blobs/uploads|blobs|manifests|tags)/(?P<rest>[^/]*)")
_PIECE = 64 << 10


class Ask(NamedTuple):
    """A request. `headers` have lower-case names; `read` gives the body and b"" at its end, or raises OSError."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    read: Callable[[int], bytes]

    def everything(self) -> bytes:
        return b"".join(iter(lambda: self.read(_PIECE), b""))


class Reply(NamedTuple):
    """`length` is what Content-Length says where there is no body to measure: of HEAD."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    length: int | None = None

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


class _Upload:
    def __init__(self, name: str) -> None:
        self.name = name
        self.content = bytearray()
        self.short = False  # a chunk below the least length came: only PUT may follow


class Origin:
    """`least_chunk` is announced and enforced; `largest` bounds one request's body; `immutable` keeps tags."""

    def __init__(
        self, *, least_chunk: int = 0, largest: int = 0, immutable: bool = False, mounts: bool = True, page: int = 0
    ) -> None:
        self.least_chunk, self.largest, self.immutable, self.mounts, self.page = (
            least_chunk,
            largest,
            immutable,
            mounts,
            page,
        )
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.tags: dict[tuple[str, str], str] = {}
        self.uploads: dict[str, _Upload] = {}
        self._lock = threading.Lock()

    def answer(self, ask: Ask) -> Reply:
        if ask.path in ("/v2", "/v2/"):
            return Reply(200, body=b"{}")
        match = _ROUTE.fullmatch(ask.path)
        if not match:
            return refusal(404, "NAME_UNKNOWN", "there is nothing here")
        name, rest = match["name"], match["rest"]
        if match["kind"] == "blobs":
            return self._blob(ask, name, rest)
        if match["kind"] == "manifests":
            return self._manifest(ask, name, rest)
        if match["kind"] == "tags":
            return self._tags(ask, name)
        return self._start(ask, name) if not rest else self._upload(ask, name, rest)

    def _blob(self, ask: Ask, name: str, digest: str) -> Reply:
        content = self.blobs.get((name, digest))
        if content is None:
            return refusal(404, "BLOB_UNKNOWN", "blob unknown to registry")
        headers = (("Docker-Content-Digest", digest), ("Content-Type", "application/octet-stream"))
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", ask.headers.get("range", ""))
        if not asked:
            return Reply(200, headers, content)
        first, last = int(asked[1]), int(asked[2] or len(content) - 1)
        if first >= len(content):
            return Reply(416, (("Content-Range", f"bytes */{len(content)}"),))
        part = content[first : last + 1]
        where = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
        return Reply(206, (*headers, ("Content-Range", where)), part)

    def _manifest(self, ask: Ask, name: str, reference: str) -> Reply:
        if ask.method == "PUT":
            return self._put_manifest(ask, name, reference)
        digest = self.tags.get((name, reference), reference)
        found = self.manifests.get((name, digest))
        if found is None:
            return refusal(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return Reply(200, (("Docker-Content-Digest", digest), ("Content-Type", found[0])), found[1])

    def _put_manifest(self, ask: Ask, name: str, reference: str) -> Reply:
        content = ask.everything()
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        if ":" in reference and reference != digest:
            return refusal(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        try:
            missing = [child for child in children(content) if not self._has(name, child)]
        except (ValueError, KeyError, TypeError) as error:
            return refusal(400, "MANIFEST_INVALID", f"manifest invalid: {error}")
        if missing:
            return refusal(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {missing[0]}")
        if self.immutable and self.tags.get((name, reference), digest) != digest:
            return refusal(412, "PRECONDITION", f"tag {reference} is immutable")
        self.manifests[name, digest] = (ask.headers.get("content-type", ""), content)
        if ":" not in reference:
            self.tags[name, reference] = digest
        return Reply(201, (("Location", f"/v2/{name}/manifests/{digest}"), ("Docker-Content-Digest", digest)))

    def _has(self, name: str, digest: str) -> bool:
        return (name, digest) in self.blobs or (name, digest) in self.manifests

    def _tags(self, ask: Ask, name: str) -> Reply:
        found = sorted(tag for owner, tag in self.tags if owner == name)
        if not any(owner == name for owner, _ in self.manifests):
            return refusal(404, "NAME_UNKNOWN", "repository name not known to registry")
        query = parse_qs(ask.query)
        last = query.get("last", [""])[0]
        rest = [tag for tag in found if tag > last]
        size = min(int(query.get("n", ["10000"])[0]), self.page or 10000)
        more = (
            ((("Link", f'</v2/{name}/tags/list?n={size}&last={rest[size - 1]}>; rel="next"'),)) if rest[size:] else ()
        )
        return Reply(200, more, json.dumps({"name": name, "tags": rest[:size]}).encode())

    def _start(self, ask: Ask, name: str) -> Reply:
        query = parse_qs(ask.query)
        digest, source = query.get("mount", [""])[0], query.get("from", [""])[0]
        if self.mounts and digest and (source, digest) in self.blobs:
            self.blobs[name, digest] = self.blobs[source, digest]
            return Reply(201, (("Location", f"/v2/{name}/blobs/{digest}"), ("Docker-Content-Digest", digest)))
        with self._lock:
            number = f"u{len(self.uploads)}"
            self.uploads[number] = _Upload(name)
        return self._state(202, number)

    def _upload(self, ask: Ask, name: str, number: str) -> Reply:
        upload = self.uploads.get(number)
        if upload is None or upload.name != name:
            return refusal(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        if ask.method == "GET":
            return self._state(204, number)
        if ask.method == "DELETE":
            self.uploads[number] = _Upload("")
            return Reply(204)
        length = int(ask.headers.get("content-length", "0"))
        if self.largest and length > self.largest:
            return Reply(413, (("Connection", "close"),), b"<html>Request Entity Too Large</html>")
        if upload.short and ask.method == "PATCH":
            return refusal(400, "BLOB_UPLOAD_INVALID", f"chunks have at least {self.least_chunk} bytes")
        start = re.match(r"(\d+)-", ask.headers.get("content-range", ""))
        if start and int(start[1]) != len(upload.content):
            return self._state(416, number)
        while piece := ask.read(_PIECE):
            upload.content += piece
        if ask.method == "PATCH":
            return self._patched(ask, number, length)
        return self._finish(ask, number)

    def _patched(self, ask: Ask, number: str, length: int) -> Reply:
        upload = self.uploads[number]
        upload.short = length < self.least_chunk
        return self._state(202, number)

    def _finish(self, ask: Ask, number: str) -> Reply:
        upload = self.uploads[number]
        digest = parse_qs(ask.query).get("digest", [""])[0]
        if "sha256:" + hashlib.sha256(upload.content).hexdigest() != digest:
            return refusal(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.blobs[upload.name, digest] = bytes(upload.content)
        self.uploads[number] = _Upload("")
        return Reply(201, (("Location", f"/v2/{upload.name}/blobs/{digest}"), ("Docker-Content-Digest", digest)))

    def _state(self, status: int, number: str) -> Reply:
        upload = self.uploads[number]
        size = len(upload.content)
        headers = [
            ("Location", f"/v2/{upload.name}/blobs/uploads/{number}?_state={size}"),
            ("Range", f"0-{max(size - 1, 0)}"),
            ("Docker-Upload-UUID", number),
        ]
        if self.least_chunk:
            headers.append(("OCI-Chunk-Min-Length", str(self.least_chunk)))
        return Reply(status, tuple(headers))


def refusal(status: int, code: str, message: str) -> Reply:
    """An error of the distribution-spec."""
    document = {"errors": [{"code": code, "message": message, "detail": None}]}
    return Reply(status, (("Content-Type", "application/json"),), json.dumps(document).encode())


def children(content: bytes) -> Iterable[str]:
    """The digests that a manifest or an index names."""
    document = json.loads(content)
    if "manifests" in document:
        return [each["digest"] for each in document["manifests"]]
    return [each["digest"] for each in (document["config"], *document["layers"])]
