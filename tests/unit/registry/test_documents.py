"""K12 on the wire: a document that is not what was asked for, or could be read as two things, is refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from builder.errors import BuildError, DocumentError
from builder.oci import mediatypes as types
from builder.oci.descriptor import Descriptor
from builder.registry.documents import Altered, matching, received

DIGEST = "sha256:" + "0" * 64
DESCRIPTOR = {"mediaType": types.CONFIG, "digest": DIGEST, "size": 2}
MANIFEST: dict[str, Any] = {"schemaVersion": 2, "mediaType": types.MANIFEST, "config": DESCRIPTOR, "layers": []}
INDEX: dict[str, Any] = {"schemaVersion": 2, "mediaType": types.INDEX, "manifests": []}


def encoded(document: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({name: value for name, value in {**document, **changes}.items() if value is not None}).encode()


def digest_of(raw: bytes) -> str:
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def test_the_kind_is_what_all_witnesses_say() -> None:
    bare = encoded(MANIFEST, mediaType=None)
    for raw, kind, found in (
        (encoded(MANIFEST), types.MANIFEST, types.MANIFEST),
        (encoded(MANIFEST), f"{types.MANIFEST}; charset=utf-8", types.MANIFEST),
        (encoded(MANIFEST), "application/json", types.MANIFEST),
        (encoded(MANIFEST), "", types.MANIFEST),
        (bare, types.MANIFEST, types.MANIFEST),
        (bare, types.DOCKER_MANIFEST, types.DOCKER_MANIFEST),
        (encoded(INDEX), types.INDEX, types.INDEX),
        (encoded(INDEX, mediaType=types.DOCKER_INDEX), "text/plain", types.DOCKER_INDEX),
    ):
        assert received("x", raw, {"content-type": kind}, "") == Descriptor(found, digest_of(raw), len(raw))


TWICE = b'{"schemaVersion":2,"schemaVersion":2,"mediaType":"%s","config":{},"layers":[]}' % types.MANIFEST.encode()


@pytest.mark.parametrize(
    ("raw", "kind", "why"),
    [
        (TWICE, types.MANIFEST, "given twice"),
        (encoded(MANIFEST, manifests=[]), types.MANIFEST, "two things"),
        (encoded(MANIFEST, Manifests=[]), types.MANIFEST, "two things"),
        (encoded(INDEX, layers=[]), types.INDEX, "two things"),
        (encoded(INDEX, config=DESCRIPTOR), types.INDEX, "two things"),
        (encoded(MANIFEST), types.INDEX, "another kind"),
        (encoded(INDEX), types.MANIFEST, "another kind"),
        (encoded(MANIFEST), types.DOCKER_MANIFEST, "announced as"),
        (encoded(MANIFEST), "text/html", "not a kind of image"),
        (encoded(MANIFEST, mediaType=None), "", "neither the answer nor the document"),
        (encoded(MANIFEST, mediaType=None), "application/json", "neither the answer nor the document"),
        (encoded(MANIFEST, mediaType=7), "", "neither the answer nor the document"),
        (encoded(MANIFEST, MediaType=types.INDEX), types.MANIFEST, "by case"),
        (encoded(MANIFEST, schemaVersion=1), types.MANIFEST, "schema 1"),
        (b'{"schemaVersion":1}', "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
        (b'{"schemaVersion":2}', "application/vnd.docker.distribution.manifest.v1+json", "schema 1"),
        (encoded(MANIFEST, schemaVersion=3), types.MANIFEST, "schemaVersion is 3"),
        (encoded(MANIFEST, config=None), types.MANIFEST, "config is missing"),
        (encoded(MANIFEST, layers=None), types.MANIFEST, "layers is missing"),
        (encoded(MANIFEST, layers=[{**DESCRIPTOR, "digest": "sha256:../../x"}]), types.MANIFEST, "not a digest"),
        (encoded(MANIFEST, layers=[{**DESCRIPTOR, "digest": DIGEST.upper()}]), types.MANIFEST, "digest"),
        (encoded(MANIFEST, layers=[{**DESCRIPTOR, "digest": "sha512:" + "0" * 128}]), types.MANIFEST, "sha512"),
        (encoded(MANIFEST, layers=[{**DESCRIPTOR, "size": -1}]), types.MANIFEST, "size"),
        (encoded(MANIFEST, layers=[{**DESCRIPTOR, "size": 1 << 63}]), types.MANIFEST, "size"),
        (encoded(MANIFEST, layers=[{**DESCRIPTOR, "size": "2"}]), types.MANIFEST, "size"),
        (encoded(MANIFEST, layers=[{**DESCRIPTOR, "mediaType": "../x"}]), types.MANIFEST, "media type"),
        (b"[]", types.MANIFEST, "not a JSON object"),
        (b"<html>", types.MANIFEST, "not valid JSON"),
        (b"[" * 100_000, types.MANIFEST, "not valid JSON"),
        (b'{"schemaVersion":NaN}', types.MANIFEST, "not JSON"),
        (b'{"a":"\xff"}', types.MANIFEST, "not valid JSON"),
        (b"", types.MANIFEST, "not valid JSON"),
    ],
)
def test_what_is_refused(raw: bytes, kind: str, why: str) -> None:
    with pytest.raises(DocumentError, match=why) as caught:
        received("host:1: GET manifest a/b:1", raw, {"content-type": kind}, "")
    assert caught.value.message.startswith("host:1: GET manifest a/b:1: ")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("asked", "announced"),
    [(DIGEST, ""), ("", DIGEST), (DIGEST, DIGEST)],
)
def test_bytes_of_another_digest_are_refused(asked: str, announced: str) -> None:
    headers = {"content-type": types.MANIFEST, **({"docker-content-digest": announced} if announced else {})}
    with pytest.raises(Altered, match=f"expected {DIGEST}"):
        received("x", encoded(MANIFEST), headers, asked)


@pytest.mark.parametrize("text", ["sha256:../../etc/passwd", "sha256:" + "F" * 64, "md5:" + "0" * 32, "0" * 64])
def test_a_digest_that_is_none_is_refused(text: str) -> None:
    headers = {"content-type": types.MANIFEST, "docker-content-digest": text}
    with pytest.raises(BuildError, match="digest"):
        received("x", encoded(MANIFEST), headers, "")


def test_a_descriptor_that_lies_about_its_document_is_refused() -> None:
    raw = encoded(MANIFEST)
    found = Descriptor(types.MANIFEST, digest_of(raw), len(raw))
    matching("x", found, found)
    for lie, why in (({"size": 1}, "its size is"), ({"media_type": types.DOCKER_MANIFEST}, "media type")):
        with pytest.raises(DocumentError, match=why):
            matching("x", found, found._replace(**lie))
