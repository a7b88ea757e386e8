"""One HTTP request at a time over pooled connections: proxies, TLS, deadlines, and tries again.

urllib3 speaks the protocol. What it would decide silently is decided here: to whom a request goes, how long is
waited, and how often is tried again. Redirects and credentials are for the rooms above.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from builder.errors import NetworkError
from builder.net.address import origin_of, redacted, split, target_of
from builder.net.dial import Connection, Route, connected, context_of, forwarding_headers
from builder.net.early import Body
from builder.net.failed import Failed, explained, stopped
from builder.net.proxy import proxy_for
from builder.net.tls import Tls
from builder.net.watch import Watch
from builder.values import NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from urllib3 import BaseHTTPResponse

    from builder.events import Flag

__all__ = ["PIECE", "Answer", "Client", "Failed", "Patience"]

T = TypeVar("T")
PIECE = 1 << 19
_DRAINED = 1 << 16  # so much of an unread answer is read to keep its connection
_PROGRESS = 1 << 20  # bytes that a try must bring to be no failure
_SYSTEM = Tls()
_IDLE = 20.0  # seconds after which a server may be about to close a kept connection


class Patience(NamedTuple):
    """Seconds to wait for a connection and for the next bytes; how often to try, and how long before the second try."""

    connect: float = 15.0
    silence: float = 60.0
    tries: int = 4
    delay: float = 0.4
    longest_delay: float = 60.0


class Answer:
    """A response whose body is still to be read. `headers` have lower-case names."""

    def __init__(self, url: str, raw: BaseHTTPResponse, connection: Connection, patience: Patience, flag: Flag) -> None:
        self.url = url
        self.status = raw.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in raw.headers.items()}
        self._raw, self._connection, self._patience, self._flag = raw, connection, patience, flag
        self._ended = False
        self.early = False  # it came before all of the body was sent: the server does not wait for another request

    def read(self, size: int = PIECE) -> bytes:
        """Up to `size` bytes as soon as there are some, b"" at the end. Failed for a body cut short or silent."""
        if self._ended:
            return b""
        line = self._connection.line
        with explained(self.url, self._flag, line):
            with line.waiting(self._patience.silence):
                block = self._raw.read1(size, decode_content=False)
            if not block and line.silent:
                raise TimeoutError
        line.heard(len(block))
        if not block:
            self._ended = True
            if self._flag.is_set():
                raise stopped()
        return block

    def all(self, limit: int) -> bytes:
        """The whole body, or its first `limit` + 1 bytes if it is longer."""
        found = bytearray()  # which grows without being copied, however small the pieces are
        while len(found) <= limit and (block := self.read(limit + 1 - len(found))):
            found += block
        return bytes(found)

    def reusable(self) -> bool:
        """Whether nothing of this answer is left on the connection; a little is read away for that."""
        left = self._raw.length_remaining
        if not self._ended and left is not None and left <= _DRAINED:
            with suppress(Failed):
                self._ended = len(self.all(_DRAINED)) <= _DRAINED
        return self._ended and not self.early and self._connection.http.is_connected

    def close(self) -> None:
        self._raw.close()


_LOADING = allocate_lock()


def _load() -> None:
    """Import urllib3, by one thread: of a package that imports its own parts another thread may see half."""
    with _LOADING:
        import urllib3  # noqa: F401


class Client:
    """Of one command or build; may be used from any thread. Stops soon after `cancelled` is set."""

    def __init__(
        self, cancelled: Flag, patience: Patience | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self.cancelled = cancelled
        self.patience = patience or Patience()
        self._environ = os.environ if environ is None else environ
        self._watch = Watch(cancelled)
        self._guard = allocate_lock()
        self._idle: dict[Route, list[tuple[float, Connection]]] = {}
        self._contexts: dict[Tls, ssl.SSLContext] = {}

    @contextmanager
    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Callable[[], Iterable[bytes]] | None = None,
        tls: Tls = _SYSTEM,
    ) -> Iterator[Answer]:
        """One request: no redirect is followed, no status judged, nothing tried again.

        A body that is a function is called for the bytes; the caller gives its Content-Length. Raises Failed
        for what another try may mend, NetworkError for what it cannot, Cancelled.
        """
        answer, connection = self._ask(method, url, headers or {}, body, tls)
        keep = False
        try:
            yield answer
            keep = answer.reusable()
        finally:
            self._watch.remove(connection.line)
            answer.close()
            if keep:
                self._keep(connection)
            else:
                connection.close()

    def persist(self, what: Callable[[], T], tries: int | None = None, progress: Callable[[], int] | None = None) -> T:
        """Its result. Failed runs it again after a while, and after the last try becomes its `error`.

        `progress` tells how far all tries together have come: one that got on by a good deal is not counted.
        """
        left = most = tries or self.patience.tries
        before = 0
        while True:
            try:
                return what()
            except Failed as failed:
                if self.cancelled.is_set():
                    raise stopped() from None
                reached = progress() if progress else 0
                left = most if reached - before >= _PROGRESS else left
                before, left = max(before, reached), left - 1
                if not left:
                    raise failed.error from failed
                self.pause(most - left, failed.wait)

    def pause(self, number: int, asked: float) -> None:
        """Wait before try `number` + 1: as long as the server asked for, at least the jittered backoff."""
        import random

        backoff: float = self.patience.delay * 2 ** (number - 1) * (0.5 + random.random())  # noqa: S311 (no secret)
        until = time.monotonic() + min(max(asked, backoff), self.patience.longest_delay)
        while (left := until - time.monotonic()) > 0:
            if self.cancelled.is_set():
                raise stopped()
            time.sleep(min(left, 0.05))

    def close(self) -> None:
        """Close the idle connections."""
        with self._guard:
            kept, self._idle = self._idle, {}
        for _, connection in (pair for pairs in kept.values() for pair in pairs):
            connection.close()

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Callable[[], Iterable[bytes]] | None,
        tls: Tls,
    ) -> tuple[Answer, Connection]:
        _load()
        parts = split(url)
        origin = origin_of(parts)
        route = Route(origin, proxy_for(origin, self._environ), tls if origin.scheme == "https" else _SYSTEM)
        sent = {"User-Agent": "rbuild", "Accept-Encoding": "identity", **headers, **forwarding_headers(route)}
        path = f"{origin.scheme}://{origin}{target_of(parts)}" if route.forwarded else target_of(parts)
        kept = self._kept(route) if body is None and method in ("GET", "HEAD") else None
        if kept:
            # A server may close a kept connection at any time: that is not a failure of the request.
            try:
                return self._send(kept, method, url, path, sent, body), kept
            except Failed:
                if kept.line.silent:
                    raise
        with explained(url, self.cancelled):
            fresh = connected(route, self._context(route), self.patience.connect, self.cancelled, self._watch)
        return self._send(fresh, method, url, path, sent, body), fresh

    def _send(
        self,
        connection: Connection,
        method: str,
        url: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | Callable[[], Iterable[bytes]] | None,
    ) -> Answer:
        http, line = connection.http, connection.line
        http.timeout = self.patience.silence
        self._watch.add(line)
        try:
            with explained(url, self.cancelled, line):
                sent = Body(body(), http, asks="Expect" in headers) if callable(body) else body
                fault = _request(connection, method, path, headers, sent)
                with line.waiting(self.patience.silence):
                    raw = _response(connection, fault)
        except BaseException:
            self._watch.remove(line)
            connection.close()
            raise
        line.reset()
        coding = raw.headers.get("transfer-encoding", "").lower()
        if coding not in ("", "chunked", "identity"):
            self._watch.remove(line)
            connection.close()
            error = f"{redacted(url)}: the answer is packed ({coding[:40]}), although plain bytes were asked for"
            raise Failed(NetworkError(error, hint="a proxy on the way is faulty"))
        answer = Answer(url, raw, connection, self.patience, self.cancelled)
        answer.early = fault is not None or (isinstance(sent, Body) and not sent.whole)
        return answer

    def _context(self, route: Route) -> ssl.SSLContext | None:
        if route.origin.scheme != "https":
            return None
        with self._guard:
            if route.tls not in self._contexts:
                self._contexts[route.tls] = context_of(route.tls)
            return self._contexts[route.tls]

    def _kept(self, route: Route) -> Connection | None:
        while True:
            with self._guard:
                waiting = self._idle.get(route)
                if not waiting:
                    return None
                since, connection = waiting.pop()
            if time.monotonic() - since < _IDLE and connection.http.is_connected:
                return connection
            connection.close()

    def _keep(self, connection: Connection) -> None:
        with self._guard:
            self._idle.setdefault(connection.route, []).append((time.monotonic(), connection))


def _request(
    connection: Connection,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes | Body | None,
) -> OSError | None:
    """What broke while sending: a server that has seen enough answers before it has read all."""
    try:
        connection.http.request(
            method,
            path,
            body=body,
            headers=headers,
            preload_content=False,
            decode_content=False,
        )
    except (BrokenPipeError, ConnectionResetError, TimeoutError) as error:
        return error
    return None


def _response(connection: Connection, fault: OSError | None) -> BaseHTTPResponse:
    try:
        return connection.http.getresponse()
    except Exception:
        if fault is not None:
            raise fault from None
        raise
