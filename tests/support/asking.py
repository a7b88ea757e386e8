"""A registry client with a home of its own, and a made-up server, for what no real one does."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from builder.errors import BuildError
from builder.net.client import Client, Patience
from builder.oci.reference import parse_reference
from builder.registry.endpoint import Endpoint
from builder.registry.options import RegistryOptions
from builder.registry.registry import Registry as Asking
from tests.support.registries import PASSWORD, USER, basic

HURRY = Patience(connect=5, silence=5, tries=3, delay=0.01)


class Given(NamedTuple):
    """One answer."""

    status: int
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""


class Server:
    """Answers what a function says. `asked` are (method, path, Authorization) of what came."""

    def __init__(self, answer: Callable[[str, str | None], Given]) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                seen = self.headers["Authorization"]
                server.asked.append((self.command, self.path, seen))
                given = answer(self.path, seen)
                self.send_response(given.status)
                for name, value in {"Content-Length": str(len(given.body)), **given.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(given.body)

            do_POST = do_HEAD = do_PUT = do_GET  # noqa: N815 (names of the standard library's)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def seen(self) -> list[str | None]:
        return [header for _, _, header in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


Start = Callable[[Callable[[str, str | None], Given]], Server]


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[Server] = []

    def start(answer: Callable[[str, str | None], Given]) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


class Asker:
    """A registry client with a home of its own."""

    def __init__(self, home: Path, **options: Any) -> None:
        self.home = home
        self.options = options
        self._opened: list[Asking] = []

    def knows(self, host: str, user: str = USER, password: str = PASSWORD, **members: str) -> None:
        entry = members or {"auth": basic(user, password).removeprefix("Basic ")}
        path = self.home / ".docker/config.json"
        path.parent.mkdir(exist_ok=True)
        known = json.loads(path.read_text())["auths"] if path.exists() else {}
        path.write_text(json.dumps({"auths": {**known, host: entry}}))

    def open(self) -> Asking:
        cancelled = threading.Event()
        environ = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home)}
        client = Client(cancelled, HURRY, environ=environ)
        self._opened.append(Asking(RegistryOptions(**self.options), environ, cancelled, client=client))
        return self._opened[-1]

    def close(self) -> None:
        for asking in self._opened:
            asking.close()

    def tags(self, name: str, asking: Asking | None = None, actions: str = "pull") -> int:
        """Asks for the tags of HOST/REPOSITORY, and how many bytes came."""
        asking = asking or self.open()
        endpoint = asking.routes.push(parse_reference(name))
        return asking.persist(lambda: self._ask(asking, endpoint, actions))

    def _ask(self, asking: Asking, endpoint: Endpoint, actions: str) -> int:
        with asking.request(endpoint, "GET", "tags/list", step="GET tags", actions=actions) as answer:
            return len(answer.all(1 << 20))

    def fails(self, name: str, **more: Any) -> BuildError:
        with pytest.raises(BuildError) as caught:
            self.tags(name, **more)
        error = caught.value
        words = f"{error.message} {error.hint} {error.__cause__}"
        assert not [secret for secret in (PASSWORD, "identity", "Bearer e") if secret in words]
        return error


@pytest.fixture
def asker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asker]:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)  # reading the system's authorities takes 40 ms, each time
    asker = Asker(tmp_path)
    yield asker
    asker.close()


def bearer(realm: str, **parameters: str) -> Given:
    """A 401 that names a token server."""
    words = "".join(f',{name}="{value}"' for name, value in parameters.items())
    return Given(401, {"WWW-Authenticate": f'Bearer realm="{realm}"{words}'})
