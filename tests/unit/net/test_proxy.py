"""Which proxy is asked for which server, and what it gets to see."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest

from builder.errors import NetworkError
from builder.net.address import Origin, origin_of, redacted, split, target_of
from builder.net.client import Client, Patience
from builder.net.proxy import proxy_for
from builder.net.reasons import Unwelcome
from builder.net.tls import Tls
from tests.support.registries import Registry
from tests.support.talk import reply, saying, talking

PROXY = {"https_proxy": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("url", "environ", "proxied"),
    [
        ("https://a.example/", PROXY, True),
        ("http://a.example/", PROXY, False),
        ("http://a.example/", {"all_proxy": "proxy:1"}, True),
        ("https://a.example/", {"HTTPS_PROXY": "http://proxy:1"}, True),
        ("http://a.example/", {"HTTP_PROXY": "http://proxy:1", "REQUEST_METHOD": "GET"}, False),
        ("https://localhost/", PROXY, False),
        ("https://127.3.2.1/", PROXY, False),
        ("https://[::1]/", PROXY, False),
        ("https://a.example/", {**PROXY, "no_proxy": "*"}, False),
        ("https://a.example/", {**PROXY, "no_proxy": "b.example, a.example"}, False),
        ("https://x.a.example/", {**PROXY, "no_proxy": "a.example"}, False),
        ("https://xa.example/", {**PROXY, "no_proxy": "a.example"}, True),
        ("https://a.example/", {**PROXY, "no_proxy": ".a.example"}, True),
        ("https://x.a.example/", {**PROXY, "no_proxy": ".a.example"}, False),
        ("https://x.a.example/", {**PROXY, "NO_PROXY": "*.a.example"}, False),
        ("https://A.Example/", {**PROXY, "no_proxy": "a.EXAMPLE"}, False),
        ("https://a.example:5000/", {**PROXY, "no_proxy": "a.example:5000"}, False),
        ("https://a.example/", {**PROXY, "no_proxy": "a.example:5000"}, True),
        ("https://10.1.2.3/", {**PROXY, "no_proxy": "10.0.0.0/8"}, False),
        ("https://11.1.2.3/", {**PROXY, "no_proxy": "10.0.0.0/8"}, True),
        ("https://10.1.2.3:5000/", {**PROXY, "no_proxy": "10.1.2.3"}, False),
        ("https://[fd00::1]:5000/", {**PROXY, "no_proxy": "fd00::/8"}, False),
        ("https://[fd00::1]:5000/", {**PROXY, "no_proxy": "[fd00::1]:5000"}, False),
        ("https://[fd00::1]:5001/", {**PROXY, "no_proxy": "[fd00::1]:5000"}, True),
    ],
)
def test_the_environment_names_the_proxy_and_its_exceptions(url: str, environ: dict[str, str], proxied: bool) -> None:
    assert (proxy_for(origin_of(url), environ) is not None) is proxied


def test_a_proxy_whose_password_is_not_escaped_is_refused_without_a_piece_of_it() -> None:
    for text in (
        "http://user:secret/x@proxy:1",
        "user:secret#x@proxy",
        "http://u:secret[@proxy",
        "http://u:secret@p:99999",
    ):
        with pytest.raises(NetworkError, match="is no address") as caught:
            proxy_for(origin_of("https://a.example/"), {"https_proxy": text})
        assert "secret" not in f"{caught.value.message} {caught.value.hint}"
    with pytest.raises(NetworkError, match="is not supported") as caught:
        proxy_for(origin_of("https://a.example/"), {"https_proxy": "user:secret@"})
    assert "secret" not in caught.value.message


def test_a_proxy_that_we_cannot_speak_to_is_refused_without_its_password() -> None:
    for text in ("socks5://user:secret@proxy:1080", "https://user:secret@proxy"):
        with pytest.raises(NetworkError, match="is not supported") as caught:
            proxy_for(origin_of("https://a.example/"), {"https_proxy": text})
        assert "secret" not in caught.value.message


def client(environ: dict[str, str]) -> Client:
    return Client(threading.Event(), Patience(connect=3, silence=3, tries=1), environ)


def test_plain_http_is_asked_through_the_proxy_with_its_credentials_alone() -> None:
    with talking(saying(reply(b"from the proxy"))) as talk:
        asking = client({"http_proxy": f"http://ann:s%20ecret@127.0.0.1:{talk.port}"})
        with asking.exchange("GET", "http://registry.example:5000/v2/?a=b", {"Authorization": "Bearer t"}) as answer:
            assert answer.read() == b"from the proxy"
        asking.close()
    lines = talk.heads[0].splitlines()
    assert lines[0] == "GET http://registry.example:5000/v2/?a=b HTTP/1.1"
    assert "Host: registry.example:5000" in lines
    assert "Proxy-Authorization: Basic YW5uOnMgZWNyZXQ=" in lines


def test_https_goes_through_a_tunnel_that_sees_no_request(tls_registry: Registry) -> None:
    host, port = tls_registry.host.split(":")

    def script(connection: socket.socket, head: str) -> None:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection((host, int(port))) as behind:
            back = threading.Thread(target=_pass, args=(behind, connection), daemon=True)
            back.start()
            _pass(connection, behind)
            back.join(3)
        raise OSError

    with talking(script) as talk:
        asking = client({"https_proxy": f"http://ann:secret@127.0.0.1:{talk.port}"})
        for _ in range(2):
            headers = {"Authorization": "Bearer t"}
            with asking.exchange("GET", "https://registry.example/v2/", headers, tls=Tls(verify=False)) as answer:
                assert answer.status == 200
                answer.all(1000)
        asking.close()
    (head,) = talk.heads
    assert head.startswith("CONNECT registry.example:443 HTTP/1.")
    assert "Proxy-Authorization: Basic" in head
    assert "Bearer" not in head


def test_a_proxy_that_refuses_the_tunnel_is_told() -> None:
    with talking(saying(reply(b"", "407 Proxy Authentication Required"))) as talk:
        asking = client({"https_proxy": f"http://127.0.0.1:{talk.port}"})
        with pytest.raises(Unwelcome, match="407") as caught, asking.exchange("GET", "https://registry.example/v2/"):
            pass
        asking.close()
    assert caught.value.exit_status == 4


def _pass(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)


def test_credentials_and_signatures_are_never_shown() -> None:
    assert redacted("https://u:p@h:1/x?sig=1") == "https://h:1/x?…"


def test_what_is_sent_of_an_address() -> None:
    assert target_of(split("https://h/a b%20c/ü?x=%2F&y=ü".replace(" ", "%20"))) == "/a%20b%20c/%C3%BC?x=%2F&y=%C3%BC"
    assert origin_of("HTTPS://H.example") == Origin("https", "h.example", 443)
    assert str(Origin("http", "::1", 5000)) == "[::1]:5000"
