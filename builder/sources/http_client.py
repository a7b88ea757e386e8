"""GET over http and https: proxies, redirects, deadlines and retries.

Of the standard library, because http.client verifies certificates by the system's authorities (and by
SSL_CERT_FILE), is imported only by builds that download, and leaves to us what a library decides silently: to
whom credentials go, how often is tried again, and how long is waited.
"""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from builder.dockerfile.gitref import redacted
from builder.errors import AuthError, Cancelled, NetworkError
from builder.values import NamedTuple

if TYPE_CHECKING:
    import http.client
    import threading
    from collections.abc import Callable, Iterator, Mapping
    from urllib.parse import SplitResult

    from builder.events import Flag

_REDIRECTS = (301, 302, 303, 307, 308)
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_MOST_REDIRECTS = 10
_PIECE = 1 << 18


class Patience(NamedTuple):
    """Seconds to wait for a connection and for the next bytes; how often to try, and how long before the second try."""

    connect: float = 15.0
    silence: float = 60.0
    tries: int = 4
    delay: float = 0.4
    longest_delay: float = 60.0


class Failed(Exception):
    """A try that another may mend. `error` is what to tell if none does, `wait` what the server asked for."""

    def __init__(self, error: NetworkError, wait: float = 0.0) -> None:
        super().__init__(error.message)
        self.error = error
        self.wait = wait


class Response(NamedTuple):
    """`headers` by lower-case name. `read` gives some bytes, b"" at the end, and raises Failed for a body cut off."""

    status: int
    url: str
    headers: Mapping[str, str]
    read: Callable[[], bytes]


class Client:
    """`authorization` gives the Authorization header for a host, or None. Stops soon after `cancelled` is set."""

    def __init__(
        self, authorization: Callable[[str], str | None], cancelled: Flag, patience: Patience | None = None
    ) -> None:
        self._authorization = authorization
        self._cancelled = cancelled
        self._patience = patience or Patience()

    def get(self, url: str, headers: Mapping[str, str], take: Callable[[Response], None]) -> None:
        """Hand the response to `take`, again after a failure on the way. Raises NetworkError or AuthError."""
        for number in range(1, self._patience.tries + 1):
            try:
                self._follow(url, headers, take)
                return
            except Failed as failed:
                if self._cancelled.is_set():
                    raise Cancelled("the build was stopped") from None
                if number == self._patience.tries:
                    raise failed.error from failed
                self._pause(number, failed.wait)

    def _pause(self, number: int, asked: float) -> None:
        import random

        backoff: float = self._patience.delay * 2 ** (number - 1) * (0.5 + random.random())  # noqa: S311 (no secret)
        until = time.monotonic() + min(max(asked, backoff), self._patience.longest_delay)
        while (left := until - time.monotonic()) > 0:
            if self._cancelled.is_set():
                raise Cancelled("the build was stopped")
            time.sleep(min(left, 0.1))

    def _follow(self, url: str, headers: Mapping[str, str], take: Callable[[Response], None]) -> None:
        from urllib.parse import urljoin

        origin = _origin(_split(url))
        for _ in range(_MOST_REDIRECTS + 1):
            with self._exchange(url, headers, _origin(_split(url)) == origin) as response:
                if response.status not in _REDIRECTS:
                    _check(response)
                    take(response)
                    return
                target = response.headers.get("location", "")
            if not target:
                raise NetworkError(f"{redacted(url)}: redirects without saying where to")
            url = urljoin(url, target)
        raise NetworkError(f"{redacted(url)}: more than {_MOST_REDIRECTS} redirects")

    @contextmanager
    def _exchange(self, url: str, headers: Mapping[str, str], trusted: bool) -> Iterator[Response]:
        """One request. `trusted` is the server that the Dockerfile names: no other is shown credentials."""
        parts = _split(url)
        connection, path, extra = _connection(parts, self._patience.connect)
        own = self._own_headers(parts) if trusted else {}
        # Both names stay: what the caller asks for, and what we say of ourselves.
        sent = {"User-Agent": "rbuild", "Accept": "*/*", "Accept-Encoding": "identity", **headers, **extra, **own}
        with _explained(url):
            connection.connect()
            connection.sock.settimeout(self._patience.silence)
        watch = _Watch(connection, self._cancelled, self._patience.silence)
        try:
            with watch, _explained(url, watch):
                connection.request("GET", path, headers=sent)
                answer = connection.getresponse()
                watch.heard()
                got = {name.lower(): value for name, value in answer.getheaders()}
                with closing(answer):  # it has a descriptor of its own
                    yield Response(answer.status, url, got, _reader(url, answer, watch))
        finally:
            connection.close()

    def _own_headers(self, parts: SplitResult) -> dict[str, str]:
        header = self._authorization(parts.hostname or "")
        if header is None and parts.username is not None:
            header = _basic(parts)
        return {"Authorization": header} if header else {}


def _split(url: str) -> SplitResult:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise NetworkError(f"{redacted(url)}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NetworkError(f"{redacted(url)}: not an http or https address")
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise NetworkError(f"{redacted(url)!r}: an address cannot hold blanks", hint="write %20 for a blank")
    return parts


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port


def _basic(parts: SplitResult) -> str:
    from base64 import b64encode
    from urllib.parse import unquote

    return "Basic " + b64encode(unquote(f"{parts.username or ''}:{parts.password or ''}").encode()).decode()


def _connection(parts: SplitResult, timeout: float) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
    """An unopened connection, what to ask it for, and headers for a proxy."""
    from urllib.parse import quote

    scheme, host, port = _origin(parts)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        f"?{quote(parts.query, safe=_QUERY)}" if parts.query else ""
    )
    proxy = _proxy(scheme, host, port)
    if proxy is None:
        return _plain_or_tls(scheme, host, port, timeout), path, {}
    extra = {"Proxy-Authorization": _basic(proxy)} if proxy.username is not None else {}
    _, proxy_host, proxy_port = _origin(proxy)
    if scheme == "https":
        tunnel = _plain_or_tls("https", proxy_host, proxy_port, timeout)
        tunnel.set_tunnel(host, port, extra)
        return tunnel, path, {}
    shown = f"[{host}]" if ":" in host else host
    return _plain_or_tls("http", proxy_host, proxy_port, timeout), f"http://{shown}:{port}{path}", extra


_QUERY = "/%:@!$&'()*+,;=~-._?"


def _plain_or_tls(scheme: str, host: str, port: int, timeout: float) -> http.client.HTTPConnection:
    import http.client

    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout)
    import ssl

    return http.client.HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())


def _proxy(scheme: str, host: str, port: int) -> SplitResult | None:
    """The proxy that the environment names for this server (http_proxy, https_proxy, all_proxy, no_proxy)."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

    known = getproxies_environment()
    chosen = known.get(scheme) or known.get("all")
    if not chosen or proxy_bypass_environment(f"{host}:{port}", known):
        return None
    parts = urlsplit(chosen if "://" in chosen else f"http://{chosen}")
    if parts.scheme != "http" or not parts.hostname:
        raise NetworkError(f"the proxy {redacted(chosen)} is not supported", hint="name one as http://HOST:PORT")
    return parts


class _Watch:
    """Ends a connection on which nothing is heard any more, or that nobody waits for: every read then returns."""

    def __init__(self, connection: http.client.HTTPConnection, cancelled: Flag, silence: float) -> None:
        import threading

        self._socket = connection.sock
        self._cancelled = cancelled
        self._silence = silence
        self._last = time.monotonic()
        self._over = threading.Event()
        self._thread: threading.Thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.silent = False

    def heard(self) -> None:
        self._last = time.monotonic()

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        import socket
        from contextlib import suppress

        while not self._over.wait(0.05):
            self.silent = time.monotonic() - self._last > self._silence
            if self.silent or self._cancelled.is_set():
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
                return


def _reader(url: str, answer: http.client.HTTPResponse, watch: _Watch) -> Callable[[], bytes]:
    announced = answer.length
    got = 0

    def read() -> bytes:
        nonlocal got
        block = answer.read1(_PIECE)
        watch.heard()
        got += len(block)
        if not block and announced is not None and got < announced:
            raise ConnectionError(f"the connection ended after {got} of {announced} bytes")
        if not block and watch.silent:
            raise ConnectionError("the connection went silent")
        return block

    return read


@contextmanager
def _explained(url: str, watch: _Watch | None = None) -> Iterator[None]:
    """What goes wrong between here and the server, in words; all but a refused certificate may be tried again."""
    import http.client
    import socket
    import ssl

    shown = redacted(url)
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise NetworkError(
            f"{shown}: the certificate is not trusted: {error.verify_message}",
            hint="SSL_CERT_FILE=FILE names the authorities to trust",
        ) from error
    except socket.gaierror as error:
        raise Failed(NetworkError(f"{shown}: unknown host: {error.strerror}", hint=_HINT)) from error
    except (OSError, http.client.HTTPException) as error:
        silent = isinstance(error, TimeoutError) or (watch is not None and watch.silent)
        reason = (
            "no answer in time" if silent else getattr(error, "strerror", None) or str(error) or type(error).__name__
        )
        raise Failed(NetworkError(f"{shown}: {reason}", hint=_HINT)) from error


_HINT = "check the network and the proxy (https_proxy), or put the file into the build context"


def _check(response: Response) -> None:
    status, shown = response.status, redacted(response.url)
    if status in (200, 304):
        return
    import http.client

    said = f"{shown}: the server answers {status} {http.client.responses.get(status, '')}".rstrip()
    host = _split(response.url).hostname
    if status in (401, 403, 407):
        raise AuthError(said, hint=f"pass a token with --secret id=HTTP_AUTH_TOKEN_{host},src=FILE")
    error = NetworkError(said, hint=None if status in (404, 410) else _HINT)
    if status in _AGAIN:
        raise Failed(error, _retry_after(response.headers.get("retry-after", "")))
    if status in (404, 410):
        error.hint = "check the address for typing errors"
    raise error


def _retry_after(text: str) -> float:
    """Seconds, given as such or as a date; 0 for what is neither."""
    from email.utils import parsedate_to_datetime

    if text.isascii() and text.isdigit() and len(text) < 9:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
