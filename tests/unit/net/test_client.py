"""One request: what is waited for, what is tried again, and what is not waited for any longer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from builder.errors import Cancelled, NetworkError, UsageError
from builder.net.client import Client, Failed, Patience
from builder.net.failed import retry_after
from builder.net.tls import Tls
from tests.support.talk import dripping, reply, saying, talking

QUICK = Patience(connect=1, silence=0.5, tries=3, delay=0.01)


@pytest.fixture
def cancelled() -> threading.Event:
    return threading.Event()


@pytest.fixture
def client(cancelled: threading.Event) -> Iterator[Client]:
    client = Client(cancelled, QUICK, {})
    yield client
    client.close()


def body(client: Client, url: str, method: str = "GET") -> bytes:
    with client.exchange(method, url) as answer:
        return answer.all(1 << 20)


def test_one_connection_serves_many_requests(client: Client) -> None:
    with talking(saying(reply(b"one"), reply(), reply(b"three"))) as talk:
        assert [body(client, talk.url), body(client, talk.url, "HEAD"), body(client, talk.url)] == [
            b"one",
            b"",
            b"three",
        ]
        assert len(talk.connections) == 1


def test_what_is_left_unread_does_not_reach_the_next_request(client: Client) -> None:
    with talking(saying(reply(b"x" * 3000), reply(b"y" * 900_000), reply(b"next"))) as talk:
        for _ in range(2):
            with client.exchange("GET", talk.url) as answer:
                answer.read(1)
        assert body(client, talk.url) == b"next"
        assert len(talk.connections) == 2  # a little is read away, much is not


def test_a_kept_connection_that_the_server_has_closed_is_no_failure(client: Client) -> None:
    """It may close one just when the next request is on its way."""

    def script(connection: socket.socket, head: str) -> None:
        if len(talk.heads) == 2:
            connection.close()
        else:
            connection.sendall(reply(b"here"))

    with talking(script) as talk:
        assert [body(client, talk.url), body(client, talk.url)] == [b"here", b"here"]
        assert len(talk.connections) == 2


def test_a_body_cut_short_gives_what_came_and_then_fails(client: Client) -> None:
    def script(connection: socket.socket, head: str) -> None:
        connection.sendall(reply(b"half", length=8))
        connection.close()

    with talking(script) as talk, client.exchange("GET", talk.url) as answer:
        assert answer.read() == b"half"
        with pytest.raises(Failed):
            answer.read()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(lambda connection, head: time.sleep(2), id="nothing"),
        pytest.param(dripping(reply(b"x" * 50), 0.05), id="a head byte by byte"),
        pytest.param(
            lambda connection, head: (
                connection.sendall(reply(b"x" * 99, length=200)),
                dripping(b"x" * 101, 0.05)(connection, head),
            ),
            id="a body byte by byte",
        ),
    ],
)
def test_silence_and_a_trickle_end_in_time(client: Client, script: object) -> None:
    begin = time.monotonic()
    with talking(script) as talk, pytest.raises(Failed) as caught:  # type: ignore[arg-type]
        body(client, talk.url)
    assert time.monotonic() - begin < 1
    assert caught.value.error.message == f"{talk.url}: no answer in time"


def test_a_handshake_that_does_not_go_on_ends_in_time(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(Failed, match="no answer in time"):
        body(client, f"https://127.0.0.1:{listening.getsockname()[1]}/")


def test_a_slow_but_steady_body_is_waited_for(client: Client) -> None:
    """Longer than the time of silence in all, and never silent."""

    def script(connection: socket.socket, head: str) -> None:
        connection.sendall(reply(b"", length=6 * 5000))
        for _ in range(6):
            time.sleep(0.06)
            connection.sendall(b"x" * 5000)

    with talking(script) as talk:
        assert len(body(client, talk.url)) == 30_000


@pytest.mark.parametrize("sent", [b"", reply(b"begin", length=50)], ids=["the head", "the body"])
def test_who_is_cancelled_waits_no_longer(sent: bytes) -> None:
    cancelled = threading.Event()
    client = Client(cancelled, Patience(), {})
    threading.Timer(0.1, cancelled.set).start()
    begin = time.monotonic()
    with talking(saying(sent)) as talk, pytest.raises(Cancelled):
        body(client, talk.url)
    assert time.monotonic() - begin < 1
    client.close()


def test_an_early_answer_to_a_body_is_heard(client: Client) -> None:
    """A server that has seen enough says why, instead of taking all of it."""

    def script(connection: socket.socket, head: str) -> None:
        connection.sendall(reply(b"too much", "413 Content Too Large"))
        connection.shutdown(socket.SHUT_WR)
        time.sleep(0.3)

    pieces = (b"x" * 65536 for _ in range(200))
    length = {"Content-Length": str(200 * 65536)}
    with talking(script) as talk, client.exchange("PUT", talk.url, length, lambda: pieces) as answer:
        assert answer.status == 413


def test_a_transfer_coding_that_was_not_asked_for_is_refused(client: Client) -> None:
    with talking(saying(reply(b"", "200 OK", "Transfer-Encoding: gzip, chunked"))) as talk:
        with pytest.raises(Failed, match="packed"):
            body(client, talk.url)
        assert "Accept-Encoding: identity" in talk.heads[0]


def test_addresses_of_ipv6(client: Client) -> None:
    try:
        with talking(saying(reply(b"six")), "::1") as talk:
            assert body(client, f"http://[::1]:{talk.port}/") == b"six"
            assert f"Host: [::1]:{talk.port}" in talk.heads[0]
    except OSError:
        pytest.skip("this host has no IPv6")


def test_an_unknown_host_and_a_closed_port_are_told(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Failed, match="connection refused"):
        body(client, f"http://127.0.0.1:{port}/")
    with pytest.raises(NetworkError, match="not an http or https address"):
        body(client, "ftp://127.0.0.1/")


def test_a_file_that_is_no_certificate_is_named(client: Client, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    file = str(tmp_path / "ca.pem")
    for tls in (Tls(authorities=(file,)), Tls(certificate=file)):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
            with pytest.raises(UsageError, match=r"ca\.pem"), client.exchange("GET", url, tls=tls):
                pass


# --- tries ---


def test_persisting_ends_after_the_tries_with_the_error(client: Client) -> None:
    tried = []

    def fail() -> None:
        tried.append(1)
        raise Failed(NetworkError("no luck"))

    with pytest.raises(NetworkError, match="no luck"):
        client.persist(fail)
    assert len(tried) == QUICK.tries


def test_a_try_that_gets_on_is_no_failure(client: Client) -> None:
    got = 0

    def more() -> int:
        nonlocal got
        got += 2 << 20
        if got < 20 << 20:
            raise Failed(NetworkError("broken"))
        return got

    assert client.persist(more, progress=lambda: got) == 20 << 20


def test_the_server_says_how_long_to_wait(client: Client) -> None:
    answers = iter([Failed(NetworkError("busy"), 0.3), None])

    def ask() -> None:
        error = next(answers)
        if error:
            raise error

    begin = time.monotonic()
    client.persist(ask)
    assert 0.3 <= time.monotonic() - begin < 1


def test_waiting_ends_when_cancelled(client: Client, cancelled: threading.Event) -> None:
    def ask() -> None:
        threading.Timer(0.1, cancelled.set).start()
        raise Failed(NetworkError("busy"), 50)

    begin = time.monotonic()
    with pytest.raises(Cancelled):
        client.persist(ask)
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 0), ("7", 7), (" 7 ", 7), ("-1", 0), ("soon", 0), ("9" * 99, 0), ("0", 0)]
)
def test_retry_after_in_seconds(text: str, seconds: float) -> None:
    assert retry_after({"retry-after": text}) == seconds


def test_retry_after_as_a_date() -> None:
    assert 25 < retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)}) <= 30
    assert retry_after({"retry-after": formatdate(0, usegmt=True)}) == 0
