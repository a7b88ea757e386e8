"""Why an exchange failed: the innermost reason, however deep a library has wrapped it."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from builder.cli.errors import render
from builder.net.reasons import ByProxy, NotTls, Refused, Unfit, Unknown, Unreached, Untrusted, Unwelcome, unreached
from tests.support.golden import check


class Wrapped(Exception):
    """A library's own: the reason is an argument, as urllib3 has it."""


def tls_error(kind: type[ssl.SSLError], reason: str) -> ssl.SSLError:
    error = kind(1, f"[SSL: {reason}] words (_ssl.c:1)")
    error.reason = reason
    return error


def untrusted(code: int = 18, message: str = "self-signed certificate") -> ssl.SSLError:
    error = tls_error(ssl.SSLCertVerificationError, "CERTIFICATE_VERIFY_FAILED")
    error.verify_code, error.verify_message = code, message  # type: ignore[attr-defined]
    return error


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
CASES = [
    (REFUSED, Refused, "h:1: connection refused"),
    (Wrapped("x", REFUSED), Refused, "h:1: connection refused"),
    (Wrapped(Wrapped(Wrapped(REFUSED))), Refused, "h:1: connection refused"),
    (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), Unreached, "h:1: unknown host: Temporary failure"),
    (ByProxy("p:3128", REFUSED), Unreached, "h:1: the proxy p:3128: connection refused"),
    (ByProxy("p:3128", TimeoutError()), Unreached, "h:1: the proxy p:3128: no answer in time"),
    (Wrapped(ByProxy("p", socket.gaierror(-2, "no"))), Unreached, "h:1: the proxy p: unknown host: no"),
    (OSError("Tunnel connection failed: 407 Proxy"), Unwelcome, "h:1: the proxy answers 407 Proxy"),
    (OSError("Tunnel connection failed: 403 Forbidden"), Unwelcome, "h:1: the proxy answers 403 Forbidden"),
    (OSError("Tunnel connection failed: 502 Bad"), Unreached, "h:1: the proxy answers 502 Bad"),
    (
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        Unknown,
        "h:1: unknown host: Name or service not known",
    ),
    (TimeoutError(), Unreached, "h:1: no answer in time"),
    (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), Unreached, "h:1: Connection reset by peer"),
    (OSError(errno.EHOSTUNREACH, "No route to host"), Unreached, "h:1: No route to host"),
    (Wrapped("bad chunk"), Unreached, "h:1: bad chunk"),
    (Wrapped(), Unreached, "h:1: Wrapped"),
    (untrusted(), Untrusted, "h:1: the certificate is not trusted: self-signed certificate"),
    (untrusted(10, "certificate has expired"), Unfit, "h:1: the certificate is not good: certificate has expired"),
    (untrusted(62, "Hostname mismatch"), Unfit, "h:1: the certificate is not good: Hostname mismatch"),
    (Wrapped(untrusted()), Untrusted, "h:1: the certificate is not trusted: self-signed certificate"),
    (tls_error(ssl.SSLError, "WRONG_VERSION_NUMBER"), NotTls, "h:1: the server does not speak TLS"),
    (tls_error(ssl.SSLError, "HTTP_REQUEST"), NotTls, "h:1: the server does not speak TLS"),
    (
        tls_error(ssl.SSLError, "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
        Unwelcome,
        "h:1: the server refuses the TLS handshake (tlsv13 alert certificate required)",
    ),
    (tls_error(ssl.SSLError, "DH_KEY_TOO_SMALL"), Unreached, "h:1: TLS failed: dh key too small"),
]


@pytest.mark.parametrize(("error", "kind", "message"), CASES)
def test_the_innermost_reason_is_told_with_what_to_do(
    error: BaseException, kind: type[Unreached], message: str
) -> None:
    found = unreached("h:1", error)

    assert (type(found), found.message) == (kind, message)
    assert found.hint
    assert (type(found.at("x")), found.at("x").message) == (kind, f"x: {message[5:]}")
    assert found.at("x").hint == found.hint


def test_the_host_that_speaks_plain_http_is_named_without_scheme_and_path() -> None:
    error = tls_error(ssl.SSLError, "WRONG_VERSION_NUMBER")

    for where in ("r.x:5000", "https://r.x:5000/v2/", "r.x:5000/team/app"):
        assert unreached(where, error).hint == "if plain HTTP is meant: --insecure-registry r.x:5000"


def test_causes_that_go_in_circles_end() -> None:
    error = Wrapped("one")
    error.args = ("one", error)

    assert unreached("h", error).message


def test_each_reason_has_its_remedy() -> None:
    """The list to review is tests/golden/registry/connections.txt."""
    told = dict.fromkeys(render(unreached("registry.corp:5000", error)) for error, _, _ in CASES)

    check("registry/connections.txt", "\n".join(told))
