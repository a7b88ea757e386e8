"""A token server for registries: the documented bearer flow, with everything that it was asked on record.

https://distribution.github.io/distribution/spec/auth/token/ and …/oauth/
"""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from tests.support.authority import Authority, Pair

ISSUER = "tests of rbuild"
# docker-registry takes a token for this long after its end.
LEEWAY = 60


class Asked(NamedTuple):
    """One request: `query` holds the pairs of the address (GET) or of the form (POST)."""

    method: str
    authorization: str | None
    query: list[tuple[str, str]]
    status: int

    @property
    def scopes(self) -> list[str]:
        return [word for name, value in self.query if name == "scope" for word in value.split()]


class TokenServer:
    """`users` and `identities` (refresh token → user) may get what `permitted(user, repository)` returns.

    By default a user may do everything, and anybody may pull from repositories under `public/`.
    `lifetime` is what a token lives, `told` what is said of it (None: nothing, which means 60 seconds),
    `field` the name of it in the answer. `failures` are statuses of the next answers.
    """

    def __init__(self, directory: Path, tls: Pair | None = None) -> None:
        self.users: dict[str, str] = {}
        self.identities: dict[str, str] = {}
        self.permitted: Callable[[str | None, str], set[str]] = _permitted
        self.lifetime, self.told, self.field = 300.0, 300.0, "token"
        self.failures: list[int] = []
        self.asked: list[Asked] = []
        self.issued: list[str] = []
        self.service = "registry.test"
        signer = Authority(directory, ISSUER)
        self._signer = signer.issue("signer")
        self.bundle = signer.certificate
        self._chain = [_der(self._signer.certificate)]
        server = self

        class Handler(_Handler):
            served = server

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.realm = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}/token"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def forget(self) -> None:
        """Back to what a new server is, with the users that it has: for the next test."""
        self.permitted = _permitted
        self.lifetime, self.told, self.field = 300.0, 300.0, "token"
        self.failures, self.asked, self.issued = [], [], []

    def token(self, user: str | None, scopes: list[str]) -> str:
        """A JSON web token for that of the scopes which the user may do."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": user or "",
            "aud": self.service,
            "nbf": now - 2 * LEEWAY,
            "iat": now,
            "exp": int(now + self.lifetime - LEEWAY),
            "jti": str(len(self.issued)),
            "access": [access for scope in scopes if (access := self._access(user, scope))],
        }
        signed = f"{_json({'typ': 'JWT', 'alg': 'ES256', 'x5c': self._chain})}.{_json(claims)}"
        token = f"{signed}.{_base64(_signature(signed.encode(), self._signer.key))}"
        self.issued.append(token)
        return token

    def _access(self, user: str | None, scope: str) -> dict[str, Any] | None:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        granted = sorted(set(actions.split(",")) & self.permitted(user, name))
        return {"type": kind, "name": name, "actions": granted} if granted else None


def _permitted(user: str | None, repository: str) -> set[str]:
    if user is not None:
        return {"pull", "push", "delete", "*"}
    return {"pull"} if repository.startswith("public/") else set()


class _Handler(BaseHTTPRequestHandler):
    served: TokenServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        query = parse_qsl(self.path.partition("?")[2], keep_blank_values=True)
        authorization = self.headers["Authorization"]
        if authorization is None:
            self._answer(query, None, known=True)
            return
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        self._answer(query, user, known=self.served.users.get(user) == password)

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        query = parse_qsl(text, keep_blank_values=True)
        form = dict(query)
        if form.get("grant_type") == "refresh_token":
            user = self.served.identities.get(form.get("refresh_token", ""))
            self._answer(query, user, known=user is not None)
        else:
            user = form.get("username", "")
            self._answer(query, user, known=self.served.users.get(user) == form.get("password"))

    def _answer(self, query: list[tuple[str, str]], user: str | None, known: bool) -> None:
        server = self.served
        status = server.failures.pop(0) if server.failures else 200 if known else 401
        asked = Asked(self.command, self.headers["Authorization"], query, status)
        server.asked.append(asked)
        # A server that words its refusal carelessly: it repeats what it was sent.
        said: dict[str, Any] = {"errors": [{"code": "UNAUTHORIZED", "message": f"no entry for {query}"}]}
        if status == 200:
            # A POST's scopes are joined by blanks, a GET's are repeated: `scopes` takes both.
            said = {server.field: server.token(user, asked.scopes)}
            said |= {"expires_in": server.told} if server.told is not None else {}
            if user and {("offline_token", "true"), ("access_type", "offline")} & set(query):
                said["refresh_token"] = f"identity-of-{user}"
                server.identities[f"identity-of-{user}"] = user
        self._send(status, json.dumps(said).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _json(document: object) -> str:
    return _base64(json.dumps(document).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _der(certificate: Path) -> str:
    return "".join(certificate.read_text().split("-----")[2].split())


def _signature(content: bytes, key: Path) -> bytes:
    """ES256 wants the two numbers of a signature side by side; openssl gives them as DER."""
    command = ["openssl", "dgst", "-sha256", "-sign", key]
    der = subprocess.run(command, input=content, capture_output=True, check=True).stdout
    numbers, rest = [], der[2:]
    for _ in range(2):
        length = rest[1]
        numbers.append(int.from_bytes(rest[2 : 2 + length], "big").to_bytes(32, "big"))
        rest = rest[2 + length :]
    return b"".join(numbers)
