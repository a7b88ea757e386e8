"""Connections: a name looked up and a socket connected within a deadline, TLS contexts, proxies."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from builder.errors import UsageError
from builder.net.failed import stopped
from builder.net.reasons import ByProxy
from builder.net.watch import Line
from builder.values import NamedTuple

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterator

    from urllib3.connection import HTTPConnection

    from builder.events import Flag
    from builder.net.address import Origin
    from builder.net.proxy import Proxy
    from builder.net.tls import Tls

_TICK = 0.05


class Route(NamedTuple):
    """What makes two connections interchangeable."""

    origin: Origin
    proxy: Proxy | None
    tls: Tls

    @property
    def forwarded(self) -> bool:
        """Whether the proxy reads our requests, instead of passing on a tunnel."""
        return self.proxy is not None and self.origin.scheme == "http"


class Connection(NamedTuple):
    """An open one: `line` is how the watch can end it."""

    http: HTTPConnection
    line: Line
    route: Route

    def close(self) -> None:
        self.http.close()
        self.line.close()


def connected(route: Route, context: ssl.SSLContext | None, seconds: float, cancelled: Flag, watch: Any) -> Connection:
    """Within `seconds`: from the look-up of the name until the last handshake."""
    deadline = time.monotonic() + seconds
    via = route.proxy.origin if route.proxy else route.origin
    try:
        sock = dial(via.host, via.port, deadline, cancelled)
    except OSError as error:
        raise (ByProxy(str(via), error) if route.proxy else error) from None
    line = Line(sock)
    connection = Connection(_unopened(route, via, context, sock, seconds), line, route)
    watch.add(line)
    try:
        with line.waiting(max(0.1, deadline - time.monotonic())):
            connection.http.connect()
    except BaseException:
        sock.close()
        connection.close()
        raise
    finally:
        watch.remove(line)
    line.reset()
    return connection


def _unopened(
    route: Route, via: Origin, context: ssl.SSLContext | None, sock: socket.socket, seconds: float
) -> HTTPConnection:
    import urllib3  # see failed.explained: never one of its modules

    made: HTTPConnection
    if route.origin.scheme == "https":
        made = urllib3.connection.HTTPSConnection(via.host, via.port, timeout=seconds, ssl_context=context)
    else:
        made = urllib3.connection.HTTPConnection(via.host, via.port, timeout=seconds)
    if route.proxy and not route.forwarded:
        made.set_tunnel(route.origin.host, route.origin.port, _proxy_headers(route.proxy), scheme="http")
    # Ours is watched and has a deadline for all addresses of the name together.
    made._new_conn = lambda: sock  # type: ignore[method-assign]
    return made


def _proxy_headers(proxy: Proxy) -> dict[str, str]:
    return {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}


def forwarding_headers(route: Route) -> dict[str, str]:
    """What each request tells a proxy that reads it."""
    return _proxy_headers(route.proxy) if route.proxy and route.forwarded else {}


def dial(host: str, port: int, deadline: float, cancelled: Flag) -> socket.socket:
    """A connected socket, the addresses of a name tried in order. OSError, TimeoutError or Cancelled."""
    addresses = _look_up(host, port, deadline, cancelled)
    fault: OSError = TimeoutError("no answer in time")
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        share = (deadline - time.monotonic()) / (len(addresses) - number)
        try:
            return _connect(family, kind, protocol, address, share, cancelled)
        except OSError as error:
            fault = error
    raise fault


def _connect(family: int, kind: int, protocol: int, address: Any, seconds: float, cancelled: Flag) -> socket.socket:
    import os
    import select
    import socket

    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.connect_ex(address)
        until = time.monotonic() + max(seconds, 0.1)
        poll = select.poll()  # select itself knows no descriptor above 1023
        poll.register(sock, select.POLLOUT)
        while not poll.poll(_TICK * 1000):
            _go_on(until, cancelled)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(seconds)
    except BaseException:
        sock.close()
        raise
    return sock


_LOOK_UP = "look up"


def _look_up(host: str, port: int, deadline: float, cancelled: Flag) -> list[Any]:
    """getaddrinfo, which nothing can interrupt, in a thread of its own; one that hangs is left behind."""
    import socket
    from ipaddress import ip_address

    try:
        ip_address(host)
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except ValueError:
        return _in_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), deadline, cancelled)


def _in_thread(what: Callable[[], list[Any]], deadline: float, cancelled: Flag) -> list[Any]:
    import threading

    answer: list[Any] = []

    def run() -> None:
        try:
            answer.append(what())
        except (OSError, UnicodeError) as error:
            answer.append(error if isinstance(error, OSError) else OSError(f"not a host name: {error}"))

    thread = threading.Thread(target=run, name=_LOOK_UP, daemon=True)
    thread.start()
    while thread.is_alive():
        _go_on(deadline, cancelled)
        thread.join(_TICK)
    if isinstance(answer[0], OSError):
        raise answer[0]
    found: list[Any] = answer[0]
    return found


def settle(patience: float, cancelled: Flag) -> None:
    """Wait, for some seconds, until look-ups that were given up are over: their threads are in the way of who forks."""
    import threading

    until = time.monotonic() + patience
    for thread in threading.enumerate():
        while thread.name == _LOOK_UP and thread.is_alive() and time.monotonic() < until and not cancelled.is_set():
            thread.join(_TICK)


def _go_on(until: float, cancelled: Flag) -> None:
    if cancelled.is_set():
        raise stopped()
    if time.monotonic() > until:
        raise TimeoutError("no answer in time")


def context_of(tls: Tls) -> ssl.SSLContext:
    """UsageError for a file that is not what it should be."""
    import ssl

    context = ssl.create_default_context() if tls.verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    for path in tls.authorities if tls.verify else ():
        with _loading(path, "certificates of authorities"):
            context.load_verify_locations(path)
    if tls.certificate:
        with _loading(tls.certificate, "a client certificate and its key"):
            # Without a password of ours OpenSSL would ask the terminal for one.
            context.load_cert_chain(tls.certificate, tls.key or None, password="")
    return context


@contextmanager
def _loading(path: str, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror if error.filename or not hasattr(error, "reason") else error.reason
        raise UsageError(
            f"{path}: cannot be used as {what}: {reason or error}", hint="a PEM file is expected"
        ) from error
