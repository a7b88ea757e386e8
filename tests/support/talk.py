"""A server that says exactly the bytes that a test wants it to say, and when."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

Script = Callable[[socket.socket, str], None]


class Talk(NamedTuple):
    """`heads` are the requests that came, their bodies left out; `connections` counts by appending."""

    port: int
    heads: list[str]
    connections: list[int]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def talking(script: Script, address: str = "127.0.0.1") -> Iterator[Talk]:
    """`script(connection, head)` answers each request; a connection ends when it raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listening:
        listening.bind((address, 0))
        listening.listen()
        talk = Talk(listening.getsockname()[1], [], [])
        threading.Thread(target=_accept, args=(listening, script, talk), daemon=True).start()
        yield talk
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, script: Script, talk: Talk) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            talk.connections.append(1)
            threading.Thread(target=_serve, args=(connection, script, talk), daemon=True).start()


def _serve(connection: socket.socket, script: Script, talk: Talk) -> None:
    with suppress(OSError), connection:
        while head := head_of(connection):
            talk.heads.append(head)
            script(connection, head)


def head_of(connection: socket.socket) -> str:
    """A request up to its empty line, "" when the client is gone."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            return ""
        head += byte
    return head.decode()


def reply(body: bytes = b"", status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {size}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


def saying(*answers: bytes) -> Script:
    """One after the other, the last one for ever."""
    left = list(answers)

    def script(connection: socket.socket, head: str) -> None:
        del head
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return script


def dripping(text: bytes, pause: float) -> Script:
    """A byte now and then."""
    import time

    def script(connection: socket.socket, head: str) -> None:
        del head
        for byte in text:
            connection.sendall(bytes([byte]))
            time.sleep(pause)

    return script
