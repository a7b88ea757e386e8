"""A server that refuses a body before it has read it is heard, in plain HTTP and behind TLS."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from builder.net.client import Client, Patience
from builder.net.tls import Tls
from tests.support.authority import Authority

PIECES = 100
PIECE = b"x" * 4096
REFUSAL = b"HTTP/1.1 413 Too Large\r\nContent-Length: 6\r\n\r\nno way"
INVITATION = b"HTTP/1.1 100 Continue\r\nX-More: words\r\n\r\n"
DONE = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


class Server:
    """Reads a request's head, says `first`, then reads `wanted` bytes of the body and says `last`."""

    def __init__(self, first: bytes, wanted: int, last: bytes, context: ssl.SSLContext | None) -> None:
        self._first, self._wanted, self._last, self._context = first, wanted, last, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.got = 0
        self.done = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self.done.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with self._context.wrap_socket(connection, server_side=True) if self._context else connection as link:
            head = b""
            while b"\r\n\r\n" not in head:
                head += link.recv(4096)
            self.got = len(head.partition(b"\r\n\r\n")[2])
            link.sendall(self._first)
            while self.got < self._wanted:
                self.got += len(link.recv(1 << 16))
            link.sendall(self._last)
            self.done.wait(10)


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def context(scheme: str, authority: Authority) -> ssl.SSLContext | None:
    if scheme == "http":
        return None
    pair = authority.issue("early")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pair.certificate, pair.key)
    return made


def asked(server: Server, scheme: str, authority: Authority, headers: dict[str, str]) -> tuple[int, bytes, int]:
    """Status and body of the answer, and how many pieces were asked for."""
    counted = 0

    def body() -> Iterator[bytes]:
        nonlocal counted
        for _ in range(PIECES):
            counted += 1
            time.sleep(0.002)  # the answer is under way meanwhile
            yield PIECE

    client = Client(threading.Event(), Patience(connect=5, silence=5), {})
    headers = {"Content-Length": str(PIECES * len(PIECE)), **headers}
    tls = Tls(authorities=(str(authority.certificate),))
    try:
        with client.exchange("PUT", f"{scheme}://127.0.0.1:{server.port}/", headers, body, tls) as answer:
            return answer.status, answer.all(100), counted
    finally:
        server.close()
        client.close()


def test_an_early_refusal_ends_the_body(scheme: str, authority: Authority, context: ssl.SSLContext | None) -> None:
    server = Server(REFUSAL, 0, b"", context)
    status, said, count = asked(server, scheme, authority, {})
    assert (status, said) == (413, b"no way")
    assert count < PIECES


def test_who_is_asked_may_refuse_before_the_first_byte(
    scheme: str, authority: Authority, context: ssl.SSLContext | None
) -> None:
    server = Server(REFUSAL, 0, b"", context)
    assert asked(server, scheme, authority, {"Expect": "100-continue"}) == (413, b"no way", 0)
    assert server.got == 0


def test_an_invitation_is_no_answer(scheme: str, authority: Authority, context: ssl.SSLContext | None) -> None:
    server = Server(INVITATION, PIECES * len(PIECE), DONE, context)
    assert asked(server, scheme, authority, {"Expect": "100-continue"}) == (201, b"", PIECES)


def test_a_server_that_knows_no_invitations_gets_the_body(
    scheme: str, authority: Authority, context: ssl.SSLContext | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.net.early._MOMENT", 0.05)
    server = Server(b"", PIECES * len(PIECE), DONE, context)
    assert asked(server, scheme, authority, {"Expect": "100-continue"}) == (201, b"", PIECES)
