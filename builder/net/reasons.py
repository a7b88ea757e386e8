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
_DATE = "the server needs a new certificate, or this machine's clock is wrong"
_NAME = "ask it by a name that its certificate has"
_UNFIT = {9: _DATE, 10: _DATE, 62: _NAME, 64: _NAME}  # X509_V_ERR_…, which the ssl module does not name
_TUNNEL = "Tunnel connection failed: "
# What a server tells of a client certificate that it misses or does not like (RFC 8446, 6.2); the rest is ours.
_ALERTS = (
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_UNKNOWN_CA",
    "ALERT_HANDSHAKE_FAILURE",
    "ALERT_PROTOCOL_VERSION",
)


class Unreached(NetworkError):
    """An exchange that failed on its way. The message is "WHERE: REASON"."""

    def __init__(self, where: str, reason: str, hint: str = _CHECK) -> None:
        super().__init__(f"{where}: {reason}", hint=hint)
        self.host = (where.partition("://")[2] or where).partition("/")[0]
        self.reason = reason

    def at(self, where: str) -> Unreached:
        """The same, told of another place."""
        told = type(self)(where, self.reason, self.hint or _CHECK)
        told.host = self.host
        return told


class ByProxy(OSError):
    """A connection to a proxy, not to the server itself, failed for `reason`."""

    def __init__(self, proxy: str, reason: OSError) -> None:
        super().__init__(proxy)
        self.proxy = proxy
        self.reason = reason


class Lasting(Unreached):
    """Trying again does not help."""


class Unknown(Lasting):
    """There is no such name."""


class NotTls(Lasting):
    """There is a server, but it does not speak TLS: plain HTTP, most likely."""


class Refused(Unreached):
    """Nobody listens there."""


class Untrusted(Lasting):
    """The server's certificate is not one that we trust."""


class Unfit(Lasting):
    """The server's certificate is out of date, or another server's, whoever signed it."""


class Unwelcome(Lasting):
    """The server ends the handshake, or a proxy refuses: another certificate, TLS or login is wanted of us."""


def unreached(where: str, error: BaseException) -> Unreached:
    """The error to tell for `error`, which any library raised around the one of the operating system."""
    import socket
    import ssl

    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return _of_tls(where, cause)
    for cause in causes:
        if isinstance(cause, ByProxy):
            return _of_proxy(where, cause)
        if isinstance(cause, socket.gaierror):
            # No answer of a name server may be mended by asking again, the answer that there is no such name is not.
            kind = Unknown if cause.errno == socket.EAI_NONAME else Unreached
            return kind(where, f"unknown host: {cause.strerror}", f"check the name, {_CHECK.removeprefix('check ')}")
        if isinstance(cause, ConnectionRefusedError):
            return Refused(where, "connection refused", f"is the port right? {_CHECK}")
    return _of_tunnel(where, _plainest(causes))


def _of_proxy(where: str, error: ByProxy) -> Unreached:
    found = unreached(where, error.reason)
    return Unreached(where, f"the proxy {error.proxy}: {found.reason}", "check https_proxy, http_proxy and no_proxy")


def _of_tunnel(where: str, reason: str) -> Unreached:
    """A proxy's refusal of CONNECT comes as words of the standard library."""
    status = reason.removeprefix(_TUNNEL)
    if status == reason:
        return Unreached(where, reason)
    if status.startswith("407"):
        hint = "the proxy wants credentials: https_proxy=http://USER:PASSWORD@HOST:PORT"
        return Unwelcome(where, f"the proxy answers {status}", hint)
    kind = Unwelcome if status.startswith("4") else Unreached
    return kind(where, f"the proxy answers {status}", "the proxy does not let this through: no_proxy excepts hosts")


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


def _of_tls(where: str, error: ssl.SSLError) -> Unreached:
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        unfit = _UNFIT.get(error.verify_code)
        if unfit:
            return Unfit(where, f"the certificate is not good: {error.verify_message}", unfit)
        return Untrusted(where, f"the certificate is not trusted: {error.verify_message}", _TRUST)
    reason = error.reason or ""
    if reason in _NOT_TLS:
        found = NotTls(where, "the server does not speak TLS")
        found.hint = f"if plain HTTP is meant: --insecure-registry {found.host}"
        return found
    if any(alert in reason for alert in _ALERTS):
        return Unwelcome(
            where,
            f"the server refuses the TLS handshake ({_words(reason)})",
            "if it wants a client certificate: *.cert and *.key in certs.d/HOST, or --cert-dir",
        )
    return Unreached(where, f"TLS failed: {_words(reason) or error.strerror or error}")


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()


def _plainest(causes: list[BaseException]) -> str:
    if any(isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__ for cause in causes):
        return "no answer in time"
    for cause in reversed(causes):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return str(causes[-1]) or type(causes[-1]).__name__
