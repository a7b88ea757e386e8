"""Blobs on bad networks: resumed, never asked for more often than twice, and never wrong.

`test_transfer_faults.py` tries what chance makes of it.
"""

from __future__ import annotations

import hashlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.errors import BuildError, Cancelled, DocumentError, NetworkError, RegistryError
from builder.net.client import Client, Patience
from builder.oci.descriptor import Descriptor
from builder.oci.reference import parse_reference
from builder.registry.destination import Destination
from builder.registry.endpoint import Endpoint
from builder.registry.options import RegistryOptions
from builder.registry.pull import layers
from builder.registry.registry import Registry
from builder.registry.upload import UPLOADED, Upload
from builder.store.store import Store
from tests.support.registries import OCI_LAYER
from tests.support.talk import Script, Talk, reply, talking

QUICK = Patience(connect=5, silence=5, tries=4, delay=0.005)
HASTY = QUICK._replace(silence=0.3)
BLOB = random.Random(1).randbytes(300_000)
LAYER = Descriptor(OCI_LAYER, "sha256:" + hashlib.sha256(BLOB).hexdigest(), len(BLOB))
IMAGE = parse_reference("127.0.0.1:1/x/y:1")


@contextmanager
def asking(
    talk: Talk | None = None, cancelled: threading.Event | None = None, patience: Patience = QUICK
) -> Iterator[Registry]:
    """A registry client; all it asks goes to `talk`."""
    cancelled = cancelled or threading.Event()
    client = Client(cancelled, patience, {})
    with Registry(RegistryOptions(conf="/dev/null"), {}, cancelled, client=client) as registry:
        if talk:
            registry.routes.pull = lambda reference: (  # type: ignore[method-assign]
                Endpoint(talk.url, "127.0.0.1", "x/y", "127.0.0.1"),
            )
        yield registry


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "store")) as store:
        yield store


def bring(
    store: Store, script: Script, cancelled: threading.Event | None = None, patience: Patience = QUICK
) -> list[str]:
    """The ranges that were asked for, "" for the whole blob; what is in the store then is right."""
    with talking(script) as talk, asking(talk, cancelled, patience) as registry:
        try:
            layers(registry, IMAGE, store, [LAYER])
            assert Path(store.blobs.path(LAYER.digest)).read_bytes() == BLOB
        except BuildError:
            assert not store.blobs.has(LAYER.digest)
            raise
        finally:
            ranges = [range_of(head) for head in talk.heads]
    return ranges


def range_of(head: str) -> str:
    lines = [line for line in head.splitlines() if line.lower().startswith("range:")]
    return lines[0].partition(": ")[2] if lines else ""


def breaking(*cuts: int, ranges: bool = True) -> Script:
    """Sends up to each of these places of the blob, one try each, then all."""
    left = list(cuts)

    def script(connection: socket.socket, head: str) -> None:
        begin = int(range_of(head).removeprefix("bytes=").removesuffix("-") or 0) if ranges else 0
        end = left.pop(0) if left else len(BLOB)
        status = "206 Partial Content" if begin else "200 OK"
        where = (f"Content-Range: bytes {begin}-{len(BLOB) - 1}/{len(BLOB)}",) if begin else ()
        connection.sendall(reply(BLOB[begin:end], status, *where, length=len(BLOB) - begin))
        if end < len(BLOB):
            raise OSError

    return script


def test_a_blob_is_resumed_where_it_broke(store: Store) -> None:
    assert bring(store, breaking(1000, 1000, 250_000)) == ["", "bytes=1000-", "bytes=1000-", "bytes=250000-"]


def test_a_server_without_ranges_sends_all_again_and_what_was_there_is_skipped(store: Store) -> None:
    assert bring(store, breaking(200_000, ranges=False)) == ["", "bytes=200000-"]


def test_a_blob_is_sent_at_most_twice(store: Store) -> None:
    with pytest.raises(NetworkError, match="cannot be resumed"):
        bring(store, breaking(200_000, 250_000, 250_000, ranges=False))


def wrong(times: int) -> Script:
    tries = iter(range(99))

    def script(connection: socket.socket, head: str) -> None:
        connection.sendall(reply(BLOB[:-1] + b"!" if next(tries) < times else BLOB))

    return script


def test_wrong_bytes_are_asked_for_once_more_and_never_kept(store: Store) -> None:
    assert bring(store, wrong(1)) == ["", ""]


def test_wrong_bytes_twice_are_an_error(store: Store) -> None:
    with pytest.raises(DocumentError, match="expected blob"):
        bring(store, wrong(2))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply(BLOB[:-1]), "has 299999 bytes, not the 300000"),
        (reply(BLOB + b"x"), "has 300001 bytes, not the 300000"),
        (reply(BLOB[:99], "200 OK", "Content-Encoding: gzip"), "comes encoded as 'gzip'"),
        (reply(BLOB, "206 Partial Content", "Content-Range: bytes 5-300004/300005"), "another place"),
        (reply(BLOB, "206 Partial Content"), "another place"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n",
            "no answer in time",
        ),
    ],
)
def test_an_answer_that_cannot_be_the_blob(store: Store, answer: bytes, why: str) -> None:
    with pytest.raises(NetworkError, match=why):
        bring(store, lambda connection, head: connection.sendall(answer), patience=HASTY)


def test_a_body_without_end_is_not_read_to_it(store: Store) -> None:
    def endless(connection: socket.socket, head: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    with pytest.raises(DocumentError, match="goes on after"):
        bring(store, endless)


def test_archives_that_storage_marks_as_compressed_are_taken_as_they_are(store: Store) -> None:
    assert bring(store, lambda connection, head: connection.sendall(reply(BLOB, "200 OK", "Content-Encoding: gzip")))


def test_a_transfer_ends_when_it_is_cancelled(store: Store) -> None:
    cancelled = threading.Event()

    def slow(connection: socket.socket, head: str) -> None:
        connection.sendall(reply(BLOB[:50_000], length=len(BLOB)))
        cancelled.set()
        time.sleep(2)

    begin = time.monotonic()
    with pytest.raises(Cancelled):
        bring(store, slow, cancelled)
    assert time.monotonic() - begin < 1


def test_the_first_failure_ends_the_other_transfers(store: Store) -> None:
    """The others would go on for as long as their bytes come."""
    other = Descriptor(OCI_LAYER, "sha256:" + "0" * 64, 10**9)
    missing = threading.Event()

    def script(connection: socket.socket, head: str) -> None:
        if LAYER.digest in head:
            missing.wait(2)
            connection.sendall(reply(b"", "404 Not Found"))
            return
        connection.sendall(reply(b"", length=other.size))
        while True:
            connection.sendall(b"x" * 5000)
            missing.set()
            time.sleep(0.01)

    begin = time.monotonic()
    with talking(script) as talk, asking(talk) as registry, pytest.raises(RegistryError, match="404"):
        layers(registry, IMAGE, store, [other, LAYER])
    assert time.monotonic() - begin < 2


# --- redirects ---


def test_storage_elsewhere_gets_no_credentials(store: Store) -> None:
    def stored(connection: socket.socket, head: str) -> None:
        connection.sendall(reply(BLOB))

    def script(connection: socket.socket, head: str) -> None:
        if "authorization: basic" not in head.lower():
            connection.sendall(reply(b"", "401 Unauthorized", 'WWW-Authenticate: Basic realm="x"'))
        else:
            place = f"Location: http://127.0.0.2:{storage.port}/stored?signature=secret"
            connection.sendall(reply(b"", "307 Temporary Redirect", place))

    options = RegistryOptions(conf="/dev/null", creds=("ann", "secret"))
    with talking(stored, "127.0.0.2") as storage, talking(script) as talk:
        client = Client(threading.Event(), QUICK, {})
        endpoint = Endpoint(talk.url, "127.0.0.1", "x/y", "127.0.0.1")
        with Registry(options, {}, threading.Event(), client=client) as registry, store.blobs.ingest() as ingest:
            registry.blob([endpoint], LAYER, ingest)
            assert ingest.commit(OCI_LAYER, LAYER.digest).size == len(BLOB)
    assert len(talk.heads) == 2
    assert ["uthorization" in head for head in storage.heads] == [False]


def test_redirects_without_end(store: Store) -> None:
    with pytest.raises(RegistryError, match="more than 10 redirects"):
        bring(store, lambda connection, head: connection.sendall(reply(b"", "302 Found", "Location: /again")))


def test_a_secure_registry_cannot_send_us_to_an_insecure_place() -> None:
    from builder.registry.registry import _keep_secure

    _keep_secure("http://a", "http://b/x", "http://a/x")
    with pytest.raises(RegistryError, match="not secure"):
        _keep_secure("https://a", "http://b/x", "https://a/x")


# --- a manifest ---


@pytest.mark.parametrize("length", ["Content-Length: 99999999", "Transfer-Encoding: chunked"])
def test_a_manifest_without_end_is_not_read_to_it(length: str) -> None:
    def endless(connection: socket.socket, head: str) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
        piece = b" " * (1 << 20)
        while True:
            connection.sendall(piece if "Content" in length else b"100000\r\n" + piece + b"\r\n")

    with talking(endless) as talk, asking(talk) as registry, pytest.raises(DocumentError, match="more than 16 MiB"):
        registry.manifest(IMAGE)


def test_a_manifest_of_another_digest_is_asked_for_again() -> None:
    with (
        talking(lambda connection, head: connection.sendall(reply(b"{}"))) as talk,
        asking(talk) as registry,
        pytest.raises(DocumentError, match="expected sha256:0"),
    ):
        registry.manifest(IMAGE._replace(digest="sha256:" + "0" * 64))
    assert len(talk.heads) == QUICK.tries


def test_a_proxy_that_cannot_be_asked_first_is_not_asked_again(store: Store) -> None:
    """417: the request comes once more, without Expect."""
    store.blobs.put_bytes(OCI_LAYER, BLOB)
    received: list[bytes] = []

    def script(connection: socket.socket, head: str) -> None:
        match head.split(maxsplit=1)[0]:
            case "HEAD":
                connection.sendall(reply(b"", "404 Not Found"))
            case "POST":
                connection.sendall(reply(b"", "202 Accepted", "Location: /upload"))
            case "GET":
                connection.sendall(reply(b"", "204 No Content", "Range: 0-0"))
            case "PUT" if "Expect" in head:
                connection.sendall(reply(b"", "417 Expectation Failed"))
            case _:
                body = connection.makefile("rb").read(len(BLOB))
                received.append(body)
                connection.sendall(reply(b"", "201 Created"))

    with talking(script) as talk, asking() as registry:
        endpoint = Endpoint(talk.url, "127.0.0.1", "x/y", "127.0.0.1")
        to = Destination(registry, endpoint, store.blobs, lambda blob: None, dict, lambda digest, current, total: None)
        assert Upload(to, LAYER).run() == UPLOADED
    assert received == [BLOB]
    assert ["Expect" in head for head in talk.heads if head.startswith("PUT")] == [True, False]
