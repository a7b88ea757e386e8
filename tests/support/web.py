"""A web server on 127.0.0.1: files with ETags, faults on request, and git repositories through git's own backend."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.support.authority import Pair

LAST_MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"]


class Web:
    """Serves `root`. `asked` are (path, status, Authorization); `faults` the answers of a path before the real one."""

    def __init__(self, root: Path, tls: Pair | None = None) -> None:
        self.root = root
        self.asked: list[tuple[str, int, str | None]] = []
        self.faults: dict[str, list[tuple[int, dict[str, str]]]] = {}
        self.token: str | None = None
        web = self

        class Handler(_Handler):
            served = web

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            secure.load_cert_chain(*tls)
            listening = self._server.socket
            self._server.socket = secure.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"
        self.other_name = f"http://localhost:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def statuses(self, path: str) -> list[int]:
        return [status for asked, status, _ in self.asked if asked == path]

    def repository(self, name: str, script: str) -> str:
        """A repository made by shell commands; its commit."""
        work = self.root / f"{name}-work"
        work.mkdir()
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "G": " ".join(GIT)}
        environment |= {"GIT_AUTHOR_DATE": "1000000000 +0000", "GIT_COMMITTER_DATE": "1000000000 +0000"}
        text = f"set -e; $G init -q -b main .; {script}; $G add -A; $G commit -qm m; $G tag -a -m t v1"
        subprocess.run(["sh", "-c", text], cwd=work, env=environment, check=True)
        subprocess.run([*GIT, "clone", "-q", "--bare", work, self.root / f"{name}.git"], check=True)
        found = subprocess.run([*GIT, "rev-parse", "HEAD"], cwd=work, capture_output=True, text=True, check=True)
        return found.stdout.strip()


class _Handler(BaseHTTPRequestHandler):
    served: Web
    protocol_version = "HTTP/1.0"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        web, path = self.served, self.path.partition("?")[0]
        waiting = web.faults.get(path)
        if waiting:
            status, headers = waiting.pop(0)
            self._send(status, headers, b"")
        elif web.token and self.headers["Authorization"] != web.token:
            self._send(401, {"WWW-Authenticate": "Basic"}, b"")
        elif ".git/" in path:
            self._git(path)
        else:
            self._file(web.root / unquote(path.lstrip("/")))

    def _file(self, file: Path) -> None:
        if not file.is_file():
            self._send(404, {}, b"")
            return
        content = file.read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"ETag": tag, "Last-Modified": LAST_MODIFIED}
        known = self.headers["If-None-Match"] == tag
        self._send(304 if known else 200, headers, b"" if known else content)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.served.asked.append((self.path, status, self.headers["Authorization"]))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", headers.get("Content-Length", str(len(body))))
        self.end_headers()
        self.wfile.write(body)

    def _git(self, path: str) -> None:
        environment: dict[str, Any] = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.served.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": self.path.partition("?")[2],
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers["Content-Type"] or "",
            "HTTP_CONTENT_ENCODING": self.headers["Content-Encoding"] or "",
            "GIT_PROTOCOL": self.headers["Git-Protocol"] or "",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self._send(int(headers.pop("Status", "200").split()[0]), headers, rest)
