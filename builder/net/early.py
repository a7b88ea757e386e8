"""Bodies that are sent until the server answers: one that refuses a large upload does so before it has read it.

Whoever goes on sending then fills the line for nothing, and may lose the answer when the server closes. With
`Expect: 100-continue` (RFC 9110, 10.1.1) the server is given a moment to refuse before the first byte. Behind TLS
something to read may be a session ticket and no answer: only reading tells, and what was read is put back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from urllib3.connection import HTTPConnection

_MOMENT = 1.0  # seconds for the word to go on: servers that know nothing of it say nothing
_GO_ON = b"HTTP/1.1 100"


class Body:
    """The pieces of a body on their way through `http`; `whole` says whether none was left out.

    `asks` says that the request has Expect: 100-continue.
    """

    def __init__(self, pieces: Iterable[bytes], http: HTTPConnection, *, asks: bool) -> None:
        self._pieces, self._http, self._asks = pieces, http, asks
        self.whole = False

    def __iter__(self) -> Iterator[bytes]:
        if self._asks and not _is_invited(self._http):
            return
        for piece in self._pieces:
            yield piece
            if _said(self._http, 0):
                return
        self.whole = True


def _is_invited(http: HTTPConnection) -> bool:
    """Whether the body is to be sent: the server says so, or says nothing."""
    began = _said(http, _MOMENT)
    if not began.startswith(_GO_ON):
        return not began
    # The invitation is taken away whole; what follows it is an answer.
    while not began.endswith(b"\r\n\r\n") and len(began) < _LONGEST:
        more = _said(http, _MOMENT, 1)
        if not more or more == _GONE:
            return False
        began += more
    http.sock = _bare(http.sock)
    return True


_GONE = b"gone"
_LONGEST = 4096


def _bare(sock: Any) -> Any:
    while isinstance(sock, _PutBack):
        sock = sock.sock
    return sock


def _said(http: HTTPConnection, seconds: float, most: int = 12) -> bytes:
    """How the answer begins, if it begins within so many seconds, else b"". The answer can still be read."""
    import select

    if http.sock is None:
        return _GONE
    poll, until = select.poll(), time.monotonic() + seconds
    poll.register(http.sock, select.POLLIN)
    while _decrypted(http.sock) or poll.poll(max(0, int(1000 * (until - time.monotonic())))):
        if found := _taken(http, most):
            return found
        if time.monotonic() >= until:
            break
    return b""


def _decrypted(sock: Any) -> int:
    pending = getattr(sock, "pending", None)
    return pending() if pending else 0


def _taken(http: HTTPConnection, most: int) -> bytes:
    """What there is to read without waiting, put back again."""
    import ssl

    sock: Any = http.sock
    before = sock.gettimeout()
    sock.settimeout(0)
    try:
        first: bytes = sock.recv(most)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return b""
    except OSError:
        return _GONE
    finally:
        sock.settimeout(before)
    http.sock = _PutBack(sock, first)
    return first or _GONE


class _PutBack:
    """A socket of which some bytes have been read already."""

    def __init__(self, sock: Any, first: bytes) -> None:
        self.sock, self._first = sock, first

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def makefile(self, *_: object, **__: object) -> Any:
        import io

        return io.BufferedReader(_joined(self._first, self.sock.makefile("rb", buffering=0)))


def _joined(first: bytes, rest: Any) -> Any:
    import io

    class Joined(io.RawIOBase):
        left = first

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int | None:
            if self.left:
                count = min(len(buffer), len(self.left))
                buffer[:count], self.left = self.left[:count], self.left[count:]
                return count
            found: int | None = rest.readinto(buffer)
            return found

        def close(self) -> None:
            rest.close()
            super().close()

    return Joined()
