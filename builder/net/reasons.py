"""Why an exchange failed, in words: the innermost reason that a library's exceptions are wrapped around.

`where` is what to show of an address: it must hold no user, password or query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import NetworkError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

_DEEPEST = 20  # exceptions around one another
_CHECK = "check the network and the proxy (https_proxy, no_proxy)"
_TRUST = "trust its authority with --tls-ca FILE, a *.crt in certs.d/HOST, or SSL_CERT_FILE"
# OpenSSL's names for bytes that no TLS server sends first.
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")


class NotTls(NetworkError):
    """There is a server, but it does not speak TLS: plain HTTP, most likely."""


class Refused(NetworkError):
    """Nobody listens there."""


class Untrusted(NetworkError):
    """The server's certificate is not one that we trust: trying again does not help."""


def network_error(where: str, error: BaseException) -> NetworkError:
    """The error to tell for `error`, which any library raised around the one of the operating system."""
    import socket
    import ssl

    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _of_tls(where, cause)
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return NetworkError(f"{where}: unknown host: {cause.strerror}", hint=_CHECK)
        if isinstance(cause, ConnectionRefusedError):
            return Refused(f"{where}: connection refused", hint=f"is the port right? {_CHECK}")
    return NetworkError(f"{where}: {_plainest(causes)}", hint=_CHECK)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what it was raised for, outermost first: libraries keep it as cause, reason or argument."""
    seen: list[BaseException] = []
    ahead = [error]
    while ahead and len(seen) < _DEEPEST:
        cause = ahead.pop(0)
        if any(cause is known for known in seen):
            continue
        seen.append(cause)
        yield cause
        inner = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        ahead += [found for found in inner if isinstance(found, BaseException)]


def _of_tls(where: str, error: ssl.SSLError) -> NetworkError:
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return Untrusted(f"{where}: the certificate is not trusted: {error.verify_message}", hint=_TRUST)
    reason = error.reason or ""
    if reason in _NOT_TLS:
        return NotTls(
            f"{where}: the server does not speak TLS",
            hint=f"if plain HTTP is meant: --insecure-registry {where.partition('/')[0]}",
        )
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return NetworkError(
            f"{where}: the server refuses the TLS handshake ({_words(reason)})",
            hint="if it wants a client certificate: *.cert and *.key in certs.d/HOST, or --cert-dir",
        )
    return NetworkError(f"{where}: TLS failed: {_words(reason) or error.strerror or error}", hint=_CHECK)


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()


def _plainest(causes: list[BaseException]) -> str:
    if any(isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__ for cause in causes):
        return "no answer in time"
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(causes[-1]) or type(causes[-1]).__name__
