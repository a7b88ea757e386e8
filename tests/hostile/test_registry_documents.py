"""K12: documents that lie, served by a registry and lying in a layout.

CVE-2024-3727, CVE-2021-41190, CVE-2014-8179, CVE-2020-15157. Whatever comes: a clear error, no file elsewhere,
nothing in the store but what its digest says, credentials for nobody else.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import BuildError, DocumentError
from builder.net.client import Client, Patience
from builder.oci import mediatypes
from builder.oci.digest import sha256_of
from builder.oci.platform import Platform, host
from builder.oci.reference import parse_reference
from builder.registry.documents import received
from builder.registry.options import RegistryOptions
from builder.registry.pull import pull
from builder.registry.registry import Registry
from builder.sources.archive import load
from builder.store.blobs import DOCUMENT_LIMIT
from builder.store.store import Store
from tests.support.builds import write_context
from tests.support.command import Rbuild
from tests.support.images import tar_of

HERE = host()
LAYER = tar_of({"file": b"content\n"})
CONFIG = json.dumps(
    {
        "os": "linux",
        "architecture": HERE.architecture,
        "rootfs": {"type": "layers", "diff_ids": [sha256_of(LAYER)]},
        "config": {},
    }
).encode()
ZEROS = "0" * 64
Edit = Callable[[dict[str, Any]], object]


def descriptor(kind: str, content: bytes, **more: object) -> dict[str, Any]:
    return {"mediaType": kind, "digest": sha256_of(content), "size": len(content), **more}


def manifest(edit: Edit = lambda document: None) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": mediatypes.MANIFEST,
        "config": descriptor(mediatypes.CONFIG, CONFIG),
        "layers": [descriptor(mediatypes.LAYER, LAYER)],
    }
    edit(document)
    return json.dumps(document).encode()


def index(*children: dict[str, Any], **more: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": mediatypes.INDEX, "manifests": list(children), **more}).encode()


class Never:
    def is_set(self) -> bool:
        return False


# One for all tests: what it costs is to read the authorities of the system.
CLIENT = Client(Never(), Patience(tries=1), environ={})


class Liar(ThreadingHTTPServer):
    """Answers as it is told: `says` is (status, headers, body) by path. Notes what was asked for, and with what."""

    daemon_threads = True

    def __init__(self, *, locked: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.says: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.locked = locked
        self.asked: list[tuple[str, str]] = []  # path and Authorization
        self.sent = 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def begin(self) -> None:
        self.says, self.asked, self.sent = {}, [], 0
        self.blob(CONFIG)
        self.blob(LAYER)

    def blob(self, content: bytes, digest: str = "") -> None:
        self.says[f"/v2/r/blobs/{digest or sha256_of(content)}"] = (200, {}, content)

    def document(self, content: bytes, name: str = "", kind: str = mediatypes.MANIFEST, **headers: str) -> None:
        said = {"Content-Type": kind, **{key.replace("_", "-"): value for key, value in headers.items()}}
        self.says[f"/v2/r/manifests/{name or sha256_of(content)}"] = (200, said, content)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Liar)
        server.asked.append((self.path, self.headers.get("Authorization", "")))
        status, headers, body = server.says.get(self.path, (404, {}, b"{}"))
        if server.locked and not self.headers.get("Authorization"):
            status, headers, body = 401, {"WWW-Authenticate": 'Basic realm="r"'}, b""
        with suppress(OSError):
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            for at in range(0, len(body), 1 << 16):
                server.sent += self.wfile.write(body[at : at + (1 << 16)])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def liars() -> Iterator[tuple[Liar, Liar]]:
    servers = (Liar(locked=True), Liar(locked=False))
    yield servers
    CLIENT.close()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def liar(liars: tuple[Liar, Liar]) -> Liar:
    """A registry that knows a good layer and a good config."""
    liars[0].begin()
    return liars[0]


@pytest.fixture
def elsewhere(liars: tuple[Liar, Liar]) -> Liar:
    """Another server, where nobody has any business with credentials."""
    liars[1].begin()
    return liars[1]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "store")) as opened:
        yield opened


def fetch(liar: Liar, store: Store, name: str = "r:x", platform: Platform | None = HERE) -> None:
    """What rbuild pull does, without patience."""
    registry = Registry(RegistryOptions(creds=("user", "secret-word")), {}, Never(), client=CLIENT)
    pull(registry, parse_reference(f"{liar.name}/{name}"), store, platform)


def refused(liar: Liar, store: Store, name: str = "r:x") -> BuildError:
    """The error of a pull, after making sure that it did no harm."""
    with pytest.raises(BuildError) as caught:
        fetch(liar, store, name)
    assert "secret-word" not in f"{caught.value} {caught.value.hint}"
    assert len(caught.value.message) < 1000, "an error is a line"
    sound(store)
    return caught.value


def sound(store: Store) -> None:
    """Nothing beside the store; in it nothing that is not what its name says; no tag."""
    root = Path(store.root)
    assert [path.name for path in root.parent.iterdir()] == [root.name]
    assert dict(store.tags.all()) == {}
    for path in (root / "blobs").rglob("*"):
        if path.is_file():
            assert not path.is_symlink()
            assert sha256_of(path.read_bytes()) == f"sha256:{path.name}"
    assert not [path for path in root.rglob("*") if path.name == "x" or ".." in path.name]


def test_a_good_image_is_pulled(liar: Liar, store: Store) -> None:
    """Else all that follows would prove nothing."""
    liar.document(manifest(), "x")
    fetch(liar, store)
    assert [name for name, _ in store.tags.all()] == [f"{liar.name}/r:x"]
    assert {header for _, header in liar.asked} == {"", "Basic " + base64.b64encode(b"user:secret-word").decode()}


DIGESTS: dict[str, object] = {
    "a path": "sha256:../../../../../../x",
    "an absolute path": "sha256:/etc/passwd",
    "a path of the right length": "sha256:" + "../" * 21 + "x",
    "upper case": "sha256:" + "AB" * 32,
    "upper case name": "SHA256:" + ZEROS,
    "short": "sha256:" + "0" * 63,
    "long": "sha256:" + "0" * 65,
    "no name": ZEROS,
    "no digits": "sha256:",
    "sha512": "sha512:" + "0" * 128,
    "unknown": "md5:" + "0" * 32,
    "many parts": f"sha256:{ZEROS}:{ZEROS}",
    "a newline": f"sha256:{ZEROS}\n",
    "a NUL": f"sha256:{'0' * 63}\0",
    "blanks": f" sha256:{ZEROS}",
    "other digits": "sha256:" + "٠" * 64,
    "an address": "https://evil.example/x",
    "a number": 7,
    "null": None,
    "a list": [f"sha256:{ZEROS}"],
}


@pytest.mark.parametrize("name", DIGESTS)
def test_k12_digests(liar: Liar, store: Store, name: str) -> None:
    """Of the config and of a layer; and as what the registry says of a document, and what a user asks for."""
    before = len(liar.asked)
    for member in ("config", "layers"):

        def edit(document: dict[str, Any], member: str = member) -> None:
            target = document[member] if member == "config" else document[member][0]
            target["digest"] = DIGESTS[name]

        liar.document(manifest(edit), "x")
        assert f"{liar.name}: GET manifest r:x: " in refused(liar, store).message
    assert {path for path, _ in liar.asked[before:]} == {"/v2/r/manifests/x"}


IN_HEADERS = [text for text in DIGESTS.values() if isinstance(text, str) and text.isascii() and text.isprintable()]


@pytest.mark.parametrize("text", [text for text in IN_HEADERS if text == text.strip()])
def test_k12_digests_in_headers(liar: Liar, store: Store, text: str) -> None:
    """Docker-Content-Digest"""
    liar.document(manifest(), "x", Docker_Content_Digest=text)
    assert "digest" in refused(liar, store).message


SIZES: dict[str, tuple[object, str]] = {
    "negative": (-1, "size is not a non-negative"),
    "a float": (1.5, "size is not a non-negative"),
    "a round float": (8.0, "size is not a non-negative"),
    "text": ("8", "size is not a non-negative"),
    "true": (True, "size is not a non-negative"),
    "null": (None, "size is missing"),
    "2^63": (1 << 63, "size is not a non-negative"),
    "10^5000": (10**4000, "size is not a non-negative"),
    "too small": (len(CONFIG) - 1, "bytes"),
    "too large": (len(CONFIG) + 1, "bytes"),
    "enormous": ((1 << 63) - 1, "bytes|large|size|MiB"),
    "zero": (0, "bytes"),
}


@pytest.mark.parametrize("name", SIZES)
def test_k12_sizes(liar: Liar, store: Store, name: str) -> None:
    size, reason = SIZES[name]
    for member in ("config", "layers"):

        def edit(document: dict[str, Any], member: str = member) -> None:
            target = document[member] if member == "config" else document[member][0]
            target["size"] = size

        liar.document(manifest(edit), "x")
        error = refused(liar, store)
        assert any(part in error.message for part in reason.split("|")), error.message


def text(document: str) -> bytes:
    return document.encode("utf-8", "surrogateescape")


GOOD = manifest().decode()
INDEX = mediatypes.INDEX
CHILD = descriptor(mediatypes.MANIFEST, manifest(), platform={"os": "linux", "architecture": HERE.architecture})
DOCUMENTS: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", mediatypes.MANIFEST, "not valid JSON"),
    "a page": (b"<html>log in</html>", "text/html", "not valid JSON|not a kind"),
    "a page that calls itself a manifest": (b"<html>log in</html>", mediatypes.MANIFEST, "not valid JSON"),
    "a list": (b"[]", mediatypes.MANIFEST, "not a JSON object"),
    "null": (b"null", mediatypes.MANIFEST, "not a JSON object"),
    "cut short": (text(GOOD[:-1]), mediatypes.MANIFEST, "not valid JSON"),
    "more after the end": (text(GOOD + "{}"), mediatypes.MANIFEST, "not valid JSON"),
    "a byte order mark": (text("\ufeff" + GOOD), mediatypes.MANIFEST, "not valid JSON"),
    "UTF-16": (GOOD.encode("utf-16"), mediatypes.MANIFEST, "not valid JSON"),
    "UTF-32 without a mark": (GOOD.encode("utf-32-be"), mediatypes.MANIFEST, "not valid JSON"),
    "not UTF-8": (text(GOOD.replace("schema", "\udcffschema", 1)), mediatypes.MANIFEST, "not valid JSON"),
    "half of a pair": (text(GOOD[:-1] + ', "a": "\\ud800"}'), mediatypes.MANIFEST, "valid"),
    "NaN": (text(GOOD[:-1] + ', "a": NaN}'), mediatypes.MANIFEST, "NaN"),
    "Infinity": (text(GOOD[:-1] + ', "a": -Infinity}'), mediatypes.MANIFEST, "Infinity"),
    "a huge number": (text(GOOD[:-1] + ', "a": ' + "9" * 100_000 + "}"), mediatypes.MANIFEST, "valid"),
    "a deep list": (text(GOOD[:-1] + ', "a": ' + "[" * 100_000 + "]" * 100_000 + "}"), mediatypes.MANIFEST, "valid"),
    "deep objects": (text('{"a":' * 50_000), mediatypes.MANIFEST, "valid"),
    "a member twice": (text(GOOD[:-1] + ', "layers": []}'), mediatypes.MANIFEST, "given twice"),
    "a member twice, inside": (text(GOOD.replace('"size"', '"size": 1, "size"', 1)), mediatypes.MANIFEST, "twice"),
    "a member in two cases": (text(GOOD[:-1] + ', "Layers": []}'), mediatypes.MANIFEST, "by case"),
    "an index too": (text(GOOD[:-1] + ', "manifests": []}'), mediatypes.MANIFEST, "two things"),
    "an index too, as null": (text(GOOD[:-1] + ', "MANIFESTS": null}'), mediatypes.MANIFEST, "two things"),
    "an index with layers": (index(CHILD, layers=[]), INDEX, "two things"),
    "an index with a config": (index(CHILD, config={}), INDEX, "two things"),
    "schema 1": (b'{"schemaVersion": 1, "fsLayers": [], "history": []}', "application/json", "schema 1"),
    "schema 1, signed": (
        b'{"schemaVersion": 1}', "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1",
    ),
    "schema 1 and 2": (text(GOOD[:-1] + ', "fsLayers": []}'), mediatypes.MANIFEST, "two things"),
    "schema 3": (text(GOOD.replace('"schemaVersion": 2', '"schemaVersion": 3')), mediatypes.MANIFEST, "schemaVersion"),
    "schema true": (text(GOOD.replace('"schemaVersion": 2', '"schemaVersion": true')), mediatypes.MANIFEST, "schema"),
    "announced as an index": (manifest(), INDEX, "another kind|two things"),
    "announced as Docker's": (manifest(), mediatypes.DOCKER_MANIFEST, "announced as"),
    "an index announced as a manifest": (index(CHILD), mediatypes.MANIFEST, "another kind|two things"),
    "another version": (manifest(), "application/vnd.oci.image.manifest.v2+json", "not a kind"),
    "no kind at all": (
        manifest(lambda document: document.pop("mediaType")), "application/octet-stream", "neither the answer nor",
    ),
    "its own kind is a number": (manifest(lambda document: document.update(mediaType=7)), "text/plain", "what it is"),
    "layers as an object": (manifest(lambda document: document.update(layers={})), mediatypes.MANIFEST, "not a list"),
    "a layer without a kind": (
        manifest(lambda document: document["layers"][0].pop("mediaType")), mediatypes.MANIFEST, "mediaType is missing",
    ),
    "a kind with a line break": (
        manifest(lambda document: document["layers"][0].update(mediaType="a/b\r\nX: y")),
        mediatypes.MANIFEST,
        "media type",
    ),
    "urls as text": (
        manifest(lambda document: document["layers"][0].update(urls="http://x")), mediatypes.MANIFEST, "urls",
    ),
    "too large": (b" " * (DOCUMENT_LIMIT + 1), mediatypes.MANIFEST, "MiB is not read"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_k12_documents(liar: Liar, store: Store, name: str) -> None:
    """Asked for by tag, and by the digest that the bytes really have."""
    content, kind, reason = DOCUMENTS[name]
    digest = sha256_of(content)
    liar.document(content, "x", kind)
    liar.document(content, digest, kind)
    for asked in ("r:x", f"r@{digest}"):
        error = refused(liar, store, asked)
        assert any(part in error.message for part in reason.split("|")), error.message
        assert f"{liar.name}: GET manifest r" in error.message
    assert not liar.asked[0][0].startswith("/v2/r/blobs")
    assert {path.partition("/manifests/")[0] for path, _ in liar.asked} == {"/v2/r"}


@pytest.mark.parametrize(
    "name", [name for name in DOCUMENTS if not name.startswith(("announced", "another version", "no kind"))]
)
def test_k12_documents_in_a_layout(store: Store, tmp_path: Path, name: str) -> None:
    """The same bytes in an OCI layout, named by the digest that they really have."""
    content, kind, _ = DOCUMENTS[name]
    layout = Path(store.root) / "tmp" / "layout"
    kind = INDEX if kind == INDEX else mediatypes.MANIFEST
    write_layout(layout, index(descriptor(kind, content)), content, CONFIG, LAYER)
    with pytest.raises(BuildError) as caught:
        load(str(layout), store, name="r:x")
    assert len(caught.value.message) < 1000
    assert f"{layout}: " in caught.value.message
    sound(store)


def write_layout(layout: Path, top: bytes, *blobs: bytes) -> None:
    (layout / "blobs/sha256").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (layout / "index.json").write_bytes(top)
    for blob in blobs:
        (layout / "blobs/sha256" / sha256_of(blob)[7:]).write_bytes(blob)


@pytest.mark.parametrize("name", DIGESTS)
def test_k12_digests_in_a_layout(store: Store, name: str) -> None:
    """As a path they would lead out of it."""
    layout = Path(store.root) / "tmp" / "layout"
    entry = {**descriptor(mediatypes.MANIFEST, manifest()), "digest": DIGESTS[name]}
    write_layout(layout, index(entry), manifest(), CONFIG, LAYER)
    (layout / "x").write_bytes(manifest())
    with pytest.raises(BuildError, match="digest"):
        load(str(layout), store, name="r:y")
    (layout / "x").unlink()
    sound(store)


CONFIGS: dict[str, tuple[bytes, str, str]] = {
    "no JSON": (b"\x1f\x8b", mediatypes.CONFIG, "not valid JSON"),
    "of something else": (CONFIG, "application/vnd.cncf.helm.config.v1+json", "not an image"),
    "empty": (b"{}", mediatypes.EMPTY, "not an image"),
    "with too few diff ids": (CONFIG.replace(b'["sha256', b'[], "was": ["sha256'), mediatypes.CONFIG, "diff ids"),
    "with a path for a diff id": (
        CONFIG.replace(sha256_of(LAYER).encode(), b"sha256:../../x"), mediatypes.CONFIG, "not a digest",
    ),
    "with diff ids twice": (CONFIG[:-1] + b', "rootfs": {}}', mediatypes.CONFIG, "given twice"),
    "that is the manifest of another image": (manifest(), mediatypes.CONFIG, "rootfs is missing"),
    "that is the layer": (LAYER, mediatypes.CONFIG, "not valid JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_k12_configs(liar: Liar, store: Store, name: str) -> None:
    """The image is not there for anything that would use it: not for a pull, and not for a build."""
    content, kind, reason = CONFIGS[name]
    liar.blob(content)
    made = manifest(lambda document: document.update(config=descriptor(kind, content)))
    liar.document(made, "x")
    layout = Path(store.root) / "tmp" / "layout"
    write_layout(layout, index(descriptor(mediatypes.MANIFEST, made)), made, content, LAYER)
    with pytest.raises(BuildError, match=reason):
        load(str(layout), store, name="r:y")
    error = refused(liar, store)
    assert reason in error.message, error.message


def test_k12_bytes_that_are_not_those_of_the_digest(liar: Liar, store: Store) -> None:
    """Of a document, a config and a layer; of the right length, and not."""
    other = bytes(len(LAYER))
    for content in (other, other[:-1], other + b"0", b""):
        liar.document(manifest(), "x")
        liar.blob(content, sha256_of(LAYER))
        assert sha256_of(LAYER) in refused(liar, store).message
    asked = sha256_of(b"another")
    liar.document(manifest(), asked)
    assert asked in refused(liar, store, f"r@{asked}").message


def test_k12_index_that_leads_to_something_else(liar: Liar, store: Store) -> None:
    """What the index says of a manifest has to be what comes; a name in it may not come back to itself."""
    for more, reason in (
        ({"size": len(manifest()) - 1}, "the index says"),
        ({"mediaType": mediatypes.INDEX}, "another kind|media type"),
        ({"digest": sha256_of(b"loop")}, sha256_of(b"loop")),
    ):
        top = index({**CHILD, **more})
        liar.begin()
        liar.document(top, "x", INDEX)
        liar.document(manifest())
        liar.document(top, sha256_of(b"loop"), INDEX)
        error = refused(liar, store)
        assert any(part in error.message for part in reason.split("|")), error.message


def test_k12_indexes_within_indexes_end(liar: Liar, store: Store) -> None:
    """Followed a few steps deep, for one platform and for all; a wide one costs nothing."""
    content, kind = manifest(), mediatypes.MANIFEST
    for _ in range(7):
        liar.document(content, kind=kind)
        child = descriptor(kind, content, platform=CHILD["platform"])
        content, kind = index(*[child] * 50), INDEX
    liar.document(content, "x", INDEX)
    assert "indexes within indexes" in refused(liar, store).message
    assert len(liar.asked) < 20
    with pytest.raises(DocumentError, match="indexes within indexes"):
        fetch(liar, store, platform=None)
    assert len(liar.asked) < 40


def test_k12_a_hundred_thousand_layers(liar: Liar, store: Store) -> None:
    """As many as fit into a document: nothing is asked for."""
    layer = json.dumps(descriptor(mediatypes.LAYER, LAYER))
    text = GOOD.replace(layer, ",".join([layer] * (DOCUMENT_LIMIT // (len(layer) + 2) - 10)))
    liar.document(text.encode(), "x")
    assert re.search(r"layers has \d{5,} entries, more than 10000", refused(liar, store).message)
    assert not [path for path, _ in liar.asked if "/blobs/" in path]


def test_k12_documents_without_end(liar: Liar, store: Store) -> None:
    """No more is read than a document may have, whatever the length that was announced."""
    liar.document(bytes(4 * DOCUMENT_LIMIT), "x")
    assert "MiB is not read" in refused(liar, store).message
    assert liar.sent < 2 * DOCUMENT_LIMIT


def test_k12_urls_of_layers_are_not_followed(liar: Liar, elsewhere: Liar, store: Store) -> None:
    """CVE-2020-15157: neither with credentials nor without; a layer that is only there is left out, and said to be."""
    urls = [f"http://{elsewhere.name}/layer", "file:///etc/passwd"]
    for kind in (mediatypes.LAYER, mediatypes.DOCKER_FOREIGN):
        layer = descriptor(kind, LAYER, urls=urls)
        liar.document(manifest(lambda document, layer=layer: document.update(layers=[layer])), "x")  # type: ignore[misc]
        fetch(liar, store)
    del liar.says[f"/v2/r/blobs/{sha256_of(LAYER)}"]
    with Store.open(f"{store.root}/tmp/other") as empty, pytest.raises(BuildError):
        liar.document(
            manifest(lambda document: document.update(layers=[descriptor(mediatypes.LAYER, LAYER, urls=urls)])), "x"
        )
        fetch(liar, empty)
    assert elsewhere.asked == []


def test_k12_credentials_do_not_follow_a_redirect(liar: Liar, elsewhere: Liar, store: Store) -> None:
    path = f"/v2/r/blobs/{sha256_of(LAYER)}"
    liar.document(manifest(), "x")
    liar.says[path] = (307, {"Location": f"http://{elsewhere.name}{path}"}, b"")
    fetch(liar, store)
    assert elsewhere.asked == [(path, "")]


def test_k12_what_the_commands_say(liar: Liar, rbuild: Rbuild, tmp_path: Path) -> None:
    """The real ones: one line with host and step, where the Dockerfile asks for it, and nothing is left behind."""
    context = write_context(tmp_path / "c", f"FROM {liar.name}/r:x\nCOPY Dockerfile /\n")
    liar.document(manifest(lambda document: document["config"].update(digest="sha256:../../x")), "x")
    liar.locked = False
    try:
        pulled = rbuild("pull", f"{liar.name}/r:x", status=1)
        built = rbuild("build", context, status=1)
    finally:
        liar.locked = True
    for run in (pulled, built):
        assert f"{liar.name}: GET manifest r:x: not a digest: 'sha256:../../x'" in run.stderr
        assert "Traceback" not in run.stderr
    assert "Dockerfile:1" in built.stderr
    assert rbuild("images").stdout.count("\n") <= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "store"]


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=0, max_size=4), st.integers(0, 6))
def test_k12_damage_anywhere_is_seen_or_does_not_matter(at: int, new: bytes, gone: int) -> None:
    """A good manifest with some bytes replaced: a document error, or a manifest of sound descriptors."""
    from builder.oci.digest import parse_digest
    from builder.oci.manifest import parse_manifest

    content = GOOD.encode()[:at] + new + GOOD.encode()[at + gone :]
    try:
        found = received("r", content, {"content-type": mediatypes.MANIFEST}, "")
    except DocumentError:
        return
    assert (found.digest, found.size) == (sha256_of(content), len(content))
    made = parse_manifest(content)
    for each in (made.config, *made.layers):
        assert parse_digest(each.digest) and 0 <= each.size < 1 << 63


@given(st.text(max_size=9), st.text(alphabet="sha256:0af/.", max_size=20))
def test_k12_headers_of_any_kind_are_document_errors(kind: str, digest: str) -> None:
    try:
        received("r", manifest(), {"content-type": kind, "docker-content-digest": digest}, "")
    except DocumentError as error:
        assert error.message.startswith("r: ")
