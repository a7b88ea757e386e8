"""A registry as bad networks and worse servers make it: a proxy that spoils some of what passes, by a seed.

    client ──► Faulty.host ──┐  (Authorization wanted, where asked for)
           ──► Faulty.away ──┴──► an Origin in memory, or an Upstream: a real registry

What happens to the n-th request for a path depends on the seed, the path and n alone: a client that does one thing at a
time meets the same faults again. `away` is another host: it must never see an Authorization header.
"""

from __future__ import annotations

import gzip
import http.client
import json
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import BinaryIO, NamedTuple, Protocol
from urllib.parse import parse_qs

from tests.support.origin import Ask, Reply

# Each is what may happen to a request, and where: "any", or what the request is for.
FAULTS = {
    "drop": "any",  # the connection is reset before a word is said
    "lost reply": "any",  # it is done, and the connection reset instead of an answer
    "429": "any",
    "503": "any",
    "502": "any",
    "504": "any",
    "408": "any",
    "expired": "any",  # every token is worthless from now on
    "silence": "any",  # nothing is said for longer than anybody waits
    "reset": "get",  # after some bytes of the answer
    "truncated": "get",  # the same, but the connection is closed in order
    "flipped": "get",  # one byte is another one
    "long": "get",  # Content-Length promises more than comes
    "short": "get",  # Content-Length promises less
    "slow": "get",  # some bytes, then nothing for longer than anybody waits
    "encoded": "get",  # Content-Encoding: gzip that nobody asked for
    "packed": "get",  # Transfer-Encoding: gzip, chunked
    "endless": "manifest",  # a document without end
    "away": "redirect",  # to another host
    "broken": "send",  # the connection is reset after some bytes of the body
    "swallowed": "send",  # 503 after the body was read and thrown away
    "two locations": "upload",
    "absolute": "upload",
    "wrong range": "send",  # a piece is refused with 416 and the true range
}


class Server(Protocol):
    def answer(self, ask: Ask) -> Reply: ...


class Rules(NamedTuple):
    """`rate` is how often a request is spoiled, `most` how often for one path at most; `only` names the faults.

    `silence` is for how long nothing is said where that is the fault.
    """

    rate: float = 0.25
    most: int = 2
    only: tuple[str, ...] = tuple(FAULTS)
    token: bool = False
    silence: float = 0.3


class Faulty:
    """`received` counts the bytes of bodies by the path of their upload; `leaked` are credentials that went away.

    `log` has (method, path, fault) of each request, and (method, path, status) of each whole answer.
    """

    def __init__(self, server: Server, seed: int = 0, rules: Rules | None = None) -> None:
        self.server, self.seed, self.rules = server, seed, rules or Rules()
        self.received: Counter[str] = Counter()
        self.log: list[tuple[str, str, str]] = []
        self.leaked: list[str] = []
        self.tokens: set[str] = set()
        self.delay = 0.0  # before each answer
        self._digests: dict[str, str] = {}
        self._starts: dict[str, bytes] = {}
        self._counts: Counter[str] = Counter()
        self._hits: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._here, self._there = _listen("127.0.0.1"), _listen("127.0.0.2")
        self.host = "{}:{}".format(*self._here.getsockname())
        self.away = "{}:{}".format(*self._there.getsockname())
        for listener in (self._here, self._there):
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def __enter__(self) -> Faulty:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        for listener in (self._here, self._there):
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def asked(self, pattern: str) -> list[tuple[str, str, str]]:
        """What was asked of paths that `pattern` is in."""
        return [entry for entry in self.log if re.search(pattern, f"{entry[0]} {entry[1]}")]

    def _accept(self, listener: socket.socket) -> None:
        while not self._closed:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_Connection(self, connection, listener is self._there).serve, daemon=True).start()

    def draw(self, ask: Ask) -> tuple[str, random.Random]:
        """The fault of this request, "" for none, and chance for its details."""
        key = self._key(ask)
        with self._lock:
            self._counts[key] += 1
            chance = random.Random(f"{self.seed} {key} {self._counts[key]}")
            if self._hits[key] >= self.rules.most or chance.random() >= self.rules.rate:
                return "", chance
            fault = chance.choice(self.rules.only)
            if not _fits(FAULTS[fault], ask) or (fault == "expired" and not self.rules.token):
                return "", chance
            self._hits[key] += 1
        return fault, chance

    def _key(self, ask: Ask) -> str:
        """Method and path; the names that servers invent for uploads are numbered by their order in a repository."""
        path = ask.path
        match = re.fullmatch(r"(.*/blobs/uploads/)([^/]+)", path)
        if match:
            with self._lock:
                path = self._names.setdefault(path, f"{match[1]}#{len(self._names)}")
        return f"{ask.method} {path}"

    def count(self, path: str, digest: str, piece: bytes) -> None:
        with self._lock:
            self.received[path] += len(piece)
            self._starts[path] = (self._starts.get(path, b"") + piece)[:64]
            if digest:
                self._digests[path] = digest

    def of_blobs(self, blobs: dict[str, bytes]) -> Counter[str]:
        """How many bytes came of each blob, by digest; what was never finished is known by how it begins."""
        found: Counter[str] = Counter()
        for path, size in self.received.items():
            start = self._starts[path]
            digest = self._digests.get(path) or next(name for name, text in blobs.items() if text.startswith(start))
            found[digest] += size
        return found


def _fits(where: str, ask: Ask) -> bool:
    upload = "/blobs/uploads/" in ask.path
    has_body = ask.method in ("PUT", "PATCH") and ask.headers.get("content-length", "0") != "0"
    return {
        "any": True,
        "get": ask.method == "GET" and not upload,
        "manifest": ask.method == "GET" and "/manifests/" in ask.path,
        "redirect": upload or (ask.method == "GET" and "/blobs/" in ask.path),
        "send": has_body and (upload or where == "send"),
        "upload": upload and ask.method != "PUT",
    }[where]


class _Connection:
    """One client's connection: requests one after the other, until somebody closes it."""

    def __init__(self, faulty: Faulty, connection: socket.socket, away: bool) -> None:
        self._faulty, self._socket, self._away = faulty, connection, away
        self._expected = False
        self._file: BinaryIO = connection.makefile("rb")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self) -> None:
        with suppress(OSError, ValueError), self._socket, self._file:
            while (ask := self._ask()) is not None and self._reply(ask):
                pass

    def _ask(self) -> Ask | None:
        if self._file.peek(1)[:1] == _HANDSHAKE:  # type: ignore[attr-defined]
            self._socket.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request")
            return None
        line = self._file.readline(65536).decode("latin-1").split()
        if len(line) < 2:
            return None
        headers: dict[str, str] = {}
        while (text := self._file.readline(65536).decode("latin-1").strip()) != "":
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        path, _, query = line[1].partition("?")
        self._expected = headers.get("expect", "").lower() == "100-continue"
        return Ask(line[0], path, query, headers, self._body(int(headers.get("content-length", "0")), path, query))

    def _body(self, length: int, path: str, query: str) -> Callable[[int], bytes]:
        left = length
        digest = parse_qs(query).get("digest", [""])[0]

        def read(size: int) -> bytes:
            nonlocal left
            if self._expected:
                self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._expected = False
            piece = self._file.read1(min(size, left)) if left else b""  # type: ignore[attr-defined]
            if left and not piece:
                raise ConnectionResetError("the client went away")
            left -= len(piece)
            if piece and "/blobs/uploads/" in path:
                self._faulty.count(path, digest, piece)
            return bytes(piece)

        return read

    def _reply(self, ask: Ask) -> bool:
        """Whether the connection can go on."""
        faulty = self._faulty
        if self._away and "authorization" in ask.headers:
            faulty.leaked.append(f"{ask.method} {ask.path}")
        if ask.path == "/token":
            return self._token()
        fault, chance = faulty.draw(ask)
        with faulty._lock:
            faulty.log.append((ask.method, ask.path, fault))
        if fault == "expired":
            faulty.tokens.clear()
        if faulty.rules.token and not self._away and not self._allowed(ask):
            return self._send(ask, self._challenge())
        early = self._early(ask, fault, chance)
        if early is not None:
            return early
        time.sleep(faulty.delay)
        reply = faulty.server.answer(ask)
        return self._late(ask, reply, fault, chance)

    def _allowed(self, ask: Ask) -> bool:
        return ask.headers.get("authorization", "").removeprefix("Bearer ") in self._faulty.tokens

    def _token(self) -> bool:
        token = f"token{len(self._faulty.log)}.{time.monotonic_ns()}"
        self._faulty.tokens.add(token)
        body = json.dumps({"token": token, "expires_in": 300}).encode()
        self._write(200, (("Content-Type", "application/json"),), body)
        return True

    def _challenge(self) -> Reply:
        realm = f'Bearer realm="http://{self._faulty.host}/token",service="faulty",scope="repository:any:pull,push"'
        document = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        return Reply(401, (("WWW-Authenticate", realm),), json.dumps(document).encode())

    def _early(self, ask: Ask, fault: str, chance: random.Random) -> bool | None:
        """What happens before the registry hears of it; None if it does."""
        if fault == "drop":
            return self._reset()
        if fault in ("429", "503", "502", "504", "408"):
            after = (("Retry-After", "0"),) if chance.random() < 0.7 else ()
            return self._send(ask, Reply(int(fault), after, b"<html>busy</html>"))
        if fault == "silence":
            time.sleep(self._faulty.rules.silence)
            return False
        if fault == "away" and not self._away:
            target = f"http://{self._faulty.away}{ask.path}" + (f"?{ask.query}" if ask.query else "")
            return self._send(ask, Reply(307, (("Location", target),)))
        if fault == "swallowed":
            ask.everything()
            return self._send(ask, Reply(503))
        if fault == "wrong range":
            return self._wrong_range(ask)
        if fault == "broken":
            return self._broken(ask, chance)
        return None

    def _wrong_range(self, ask: Ask) -> bool:
        state = self._faulty.server.answer(ask._replace(method="GET", read=lambda size: b"", headers=_quiet(ask)))
        if state.status != 204 or "/blobs/uploads/" not in ask.path:
            return self._send(ask, Reply(503))
        ask.everything()
        return self._send(ask, state._replace(status=416))

    def _broken(self, ask: Ask, chance: random.Random) -> bool:
        """The registry gets some bytes of the body, then the client is gone; and for the client, the registry is."""
        left = chance.randrange(int(ask.headers["content-length"]) + 1)

        def read(size: int) -> bytes:
            nonlocal left
            piece = ask.read(min(size, left)) if left else b""
            left -= len(piece)
            if not piece:
                raise ConnectionResetError("broken on purpose")
            return piece

        with suppress(ConnectionResetError):
            self._faulty.server.answer(ask._replace(read=read))
        return self._reset()

    def _late(self, ask: Ask, reply: Reply, fault: str, chance: random.Random) -> bool:
        """What happens to the answer."""
        if fault == "lost reply":
            return self._reset()
        if fault == "two locations" and (place := reply.header("Location")):
            return self._send(ask, reply._replace(headers=(*reply.headers, ("Location", place))))
        if fault == "absolute" and (place := reply.header("Location")).startswith("/"):
            others = tuple(pair for pair in reply.headers if pair[0] != "Location")
            absolute = f"http://{self._faulty.away if self._away else self._faulty.host}{place}"
            return self._send(ask, reply._replace(headers=(*others, ("Location", absolute))))
        if fault in _SPOILT and reply.status in (200, 206):
            return self._spoil(reply, fault, chance)
        return self._send(ask, reply)

    def _spoil(self, reply: Reply, fault: str, chance: random.Random) -> bool:
        body, size = reply.body, len(reply.body)
        cut = chance.randrange(size) if size else 0
        if fault in ("reset", "truncated", "slow"):
            self._write(reply.status, reply.headers, body[:cut], length=size)
            if fault == "slow":
                time.sleep(self._faulty.rules.silence)
            return self._reset() if fault == "reset" else False
        if fault == "flipped" and size:
            body = body[:cut] + bytes([body[cut] ^ 1]) + body[cut + 1 :]
            self._write(reply.status, reply.headers, body)
            return True
        if fault in ("long", "short"):
            length = size + 1 + chance.randrange(100) if fault == "long" else cut
            self._write(reply.status, reply.headers, body, length=length)
            return False
        if fault == "encoded":
            self._write(reply.status, (*reply.headers, ("Content-Encoding", "gzip")), gzip.compress(body))
            return True
        return self._chunked(reply, fault)

    def _chunked(self, reply: Reply, fault: str) -> bool:
        coding = "gzip, chunked" if fault == "packed" else "chunked"
        self._socket.sendall(_head(reply.status, (*reply.headers, ("Transfer-Encoding", coding))))
        for piece in [gzip.compress(reply.body)] if fault == "packed" else _endless(reply.body):
            self._socket.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        self._socket.sendall(b"0\r\n\r\n")
        return True

    def _send(self, ask: Ask, reply: Reply) -> bool:
        """An answer as it should be. A body that nobody has read is read, so that the next request is found."""
        with self._faulty._lock:
            self._faulty.log.append((ask.method, ask.path, str(reply.status)))
        refused = self._expected  # the client has been told nothing: it will not send its body
        if reply.header("Connection") != "close" and not refused:
            while ask.read(1 << 16):
                pass
        length = len(reply.body) if reply.length is None else reply.length
        self._write(reply.status, reply.headers, b"" if ask.method == "HEAD" else reply.body, length=length)
        return (reply.header("Connection") != "close" and not refused) or self._linger()

    def _linger(self) -> bool:
        """Close as nginx does after an early answer: the client gets to read it before it is told to go."""
        self._socket.shutdown(socket.SHUT_WR)
        self._socket.settimeout(0.2)
        with suppress(OSError):
            while self._socket.recv(1 << 16):
                pass
        return False

    def _write(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes, length: int | None = None) -> None:
        size = len(body) if length is None else length
        bare = status in (204, 304)
        self._socket.sendall(_head(status, headers if bare else (*headers, ("Content-Length", str(size)))) + body)

    def _reset(self) -> bool:
        """The connection ends with RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The file keeps the descriptor open: both are closed when the thread leaves.
        return False


_HANDSHAKE = b"\x16"  # how TLS begins: clients find out by it that this is plain HTTP
_SPOILT = ("reset", "truncated", "flipped", "long", "short", "slow", "encoded", "packed", "endless")


def _quiet(ask: Ask) -> dict[str, str]:
    return {name: value for name, value in ask.headers.items() if name not in ("content-length", "content-range")}


def _head(status: int, headers: tuple[tuple[str, str], ...]) -> bytes:
    reason = http.client.responses.get(status, "")
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _endless(body: bytes) -> Iterator[bytes]:
    yield body
    for _ in range(64):
        yield b" " * (1 << 20)


def _listen(address: str) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, 0))
    listener.listen(64)
    return listener


class Upstream:
    """A real registry behind the proxy, at host:port."""

    def __init__(self, host: str) -> None:
        self._host = host

    def answer(self, ask: Ask) -> Reply:
        connection = http.client.HTTPConnection(self._host, timeout=30)
        try:
            target = ask.path + (f"?{ask.query}" if ask.query else "")
            connection.putrequest(ask.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in ask.headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            while piece := ask.read(1 << 16):
                connection.send(piece)
            answer = connection.getresponse()
            length = int(answer.getheader("Content-Length") or 0) if ask.method == "HEAD" else None
            return Reply(answer.status, tuple(_passed(answer)), answer.read(), length)
        finally:
            connection.close()


def _passed(answer: http.client.HTTPResponse) -> Iterator[tuple[str, str]]:
    for name, value in answer.getheaders():
        if name.lower() not in ("content-length", "transfer-encoding", "connection"):
            yield name, value
