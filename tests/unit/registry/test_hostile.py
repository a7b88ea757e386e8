"""Servers that mean harm: answers that are cheap to send and dear to read, and errors that repeat our secrets."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from builder.cli.errors import render
from builder.errors import AuthError, BuildError, DocumentError, NetworkError, RegistryError, UsageError
from builder.net.tls import Tls
from builder.oci import mediatypes
from builder.oci.descriptor import Descriptor, describe
from builder.oci.digest import sha256_of
from builder.oci.index import Index
from builder.oci.json import decode
from builder.oci.platform import Platform
from builder.oci.reference import parse_reference
from builder.registry import browse
from builder.registry.endpoint import Endpoint
from builder.registry.errors import refusal
from builder.registry.options import RegistryOptions
from builder.registry.pull import outline
from builder.registry.realms import trust
from builder.registry.routes import Routes
from builder.registry.tokens import _life
from builder.store.store import Store
from tests.support.asking import Asker, Given, Start, asker, start
from tests.support.registries import PASSWORD
from tests.support.talk import talking

__all__ = ["asker", "start"]  # fixtures

HERE = Endpoint("https://r.example", "r.example", "a/b", "r.example")


def test_numbers_of_headers_are_ascii() -> None:
    """Latin-1 has a digit that Python takes for one, and for no number."""
    error = refusal(HERE, "GET x", 429, {"ratelimit-limit": "\xb2;w=\xb2", "retry-after": "\xb2"}, b"")
    assert isinstance(error, NetworkError)
    assert error.hint and error.hint.startswith("it limits requests;")


def test_a_length_that_is_no_number_is_none(asker: Asker, start: Start) -> None:
    server = start(lambda path, seen: Given(200, {"Content-Length": "\xb2", "Connection": "close"}, b"{}"))
    asking = asker.open()
    with pytest.raises(BuildError):
        asking.head(parse_reference(f"{server.host}/a:1"))
    with pytest.raises(BuildError):
        browse.config(asking, parse_reference(f"{server.host}/a:1"), describe(mediatypes.CONFIG, b"{ }"))


def test_a_token_may_say_that_it_lives_for_ever() -> None:
    assert _life({"expires_in": 10**400}, {}) == _life({"expires_in": 86400}, {})


def test_a_name_given_twice_among_many_is_found_soon() -> None:
    names = b",".join(b'"%x":1' % number for number in range(100_000))
    begin = time.monotonic()
    with pytest.raises(DocumentError, match="'1869f' is given twice"):
        decode(b"{" + names + b',"1869f":1}', "it")
    assert time.monotonic() - begin < 5  # not minutes


@pytest.mark.parametrize("link", ["<" * 65_000, "<>;" * 21_000])
def test_a_link_that_is_none_is_read_soon(asker: Asker, start: Start, link: str) -> None:
    server = start(lambda path, seen: Given(200, {"Link": link}, b'{"tags": ["1"]}'))
    begin = time.monotonic()
    assert browse.tags(asker.open(), parse_reference(f"{server.host}/a")) == ["1"]
    assert time.monotonic() - begin < 5


def test_lists_of_tags_have_an_end(asker: Asker, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse, "_MOST_BYTES", 50)

    def page(path: str, seen: str | None) -> Given:
        number = int(path.partition("=")[2] or 0)
        return Given(200, {"Link": f'</v2/a/tags/list?n={number + 1}>; rel="next"'}, b'{"tags": ["1"]}')

    server = start(page)
    with pytest.raises(RegistryError, match="its pages have no end"):
        browse.tags(asker.open(), parse_reference(f"{server.host}/a"))
    assert len(server.asked) < 100


def test_a_config_without_an_end_is_not_kept(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent in pieces, with no length: only its descriptor says when it is enough."""
    sent: list[int] = []

    def endless(connection: object, head: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")  # type: ignore[attr-defined]
        while len(sent) < 4096:
            connection.sendall(b"10000\r\n" + bytes(1 << 16) + b"\r\n")  # type: ignore[attr-defined]
            sent.append(1)

    with talking(endless) as talk:
        asking = asker.open()
        monkeypatch.setattr(asking.routes, "pull", lambda _: (HERE._replace(base=talk.url),))
        with pytest.raises(DocumentError, match="goes on after"):
            browse.config(asking, parse_reference("r.example/a/b:1"), describe(mediatypes.CONFIG, b"{}"))
    assert len(sent) < 1000


def test_indexes_do_not_multiply(asker: Asker, start: Start, tmp_path: Path) -> None:
    """Four documents, each naming the next two hundred times, are four documents."""
    bodies: dict[str, tuple[str, bytes]] = {}

    def keep(kind: str, body: bytes) -> Descriptor:
        bodies[sha256_of(body)] = (kind, body)
        return describe(kind, body)

    config = describe(mediatypes.CONFIG, b"{}")
    image = {"schemaVersion": 2, "mediaType": mediatypes.MANIFEST, "config": config.as_json(), "layers": []}
    node = keep(mediatypes.MANIFEST, json.dumps(image).encode())
    for _ in range(4):
        node = keep(mediatypes.INDEX, Index((node,) * 200).encode())

    def answer(path: str, seen: str | None) -> Given:
        if path == "/v2/":
            return Given(200)
        kind, body = bodies[path.rpartition("/")[2]]
        return Given(200, {"Content-Type": kind}, body)

    server = start(answer)
    with Store.open(f"{tmp_path}/store") as store:
        reference = parse_reference(f"{server.host}/a@{node.digest}")
        begin = time.monotonic()
        assert outline(asker.open(), reference, store, None).blobs == (config,)
        assert time.monotonic() - begin < 5


@pytest.mark.parametrize("password", [PASSWORD, 'with "<&quotes', "x" * 190 + "secret"])
def test_a_registry_that_repeats_our_password_is_not_repeated(asker: Asker, start: Start, password: str) -> None:
    from builder.net.address import basic

    right = basic("ann", password)

    def answer(path: str, seen: str | None) -> Given:
        if seen != right:
            return Given(401, {"WWW-Authenticate": 'Basic realm="r"'})
        words = f"user ann with {password} ({seen.partition(' ')[2]}) may not"
        return Given(403, {"Content-Type": "application/json"}, json.dumps({"errors": [{"message": words}]}).encode())

    server = start(answer)
    asker.knows(server.host, "ann", password)
    error = asker.fails(f"{server.host}/a")
    assert isinstance(error, AuthError)
    assert "user ann with **** (****) may not" in error.message


def test_a_registry_token_that_would_start_another_header_is_refused_unseen(asker: Asker, start: Start) -> None:
    server = start(lambda path, seen: Given(401, {"WWW-Authenticate": 'Bearer realm="http://127.0.0.1/"'}))
    asker.knows(server.host, registrytoken="top\r\nX-Secret: 1")
    error = asker.fails(f"{server.host}/a")
    assert isinstance(error, AuthError)
    assert error.message.endswith(f"auths: {server.host}: registrytoken is not one word")
    assert not server.seen()[1:] or "top" not in str(error)


def test_errors_of_a_command_line_show_no_password() -> None:
    routes = Routes(RegistryOptions(mirrors=(("docker.io", "ann:secret@cache"),), conf="/dev/null"), {})
    with pytest.raises(UsageError, match="…@cache") as caught:
        routes.pull(parse_reference("golang"))
    assert "secret" not in caught.value.message
    assert "secret" not in repr(RegistryOptions(creds=("ann", "secret")))
    assert "secret" not in render(BuildError("not an image reference: 'https://ann:sec@secret@host/x'"))


def test_a_token_server_s_name_is_no_way_out_of_certs_d(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "certs.d").mkdir()
    options = RegistryOptions(cert_dir=str(tmp_path / "certs.d"))
    assert trust(HERE, "https://../token", options, {}) == Tls()


def test_what_a_hint_repeats_of_a_document_does_nothing_to_the_terminal() -> None:
    hostile = Platform("linux\x1b]0;title\x07", "amd64\x9b2J")
    text = render(BuildError("the image is not there", hint=f"it is there for {hostile}"))
    assert text.endswith("hint: it is there for linux^[]0;title^G/amd64\\x9b2J\n")
