"""Tokens of the server that a registry names: what is asked, and what comes back.

https://distribution.github.io/distribution/spec/auth/token/ and …/oauth/. Credentials follow no redirect elsewhere.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from builder.errors import AuthError, DocumentError, NetworkError
from builder.net.address import basic, joined, origin_of, redacted
from builder.net.failed import Failed, retry_after
from builder.registry.errors import may_mend
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.net.client import Client
    from builder.net.tls import Tls
    from builder.registry.login import Login

_LARGEST = 1 << 20
_REDIRECTS, _MOST = (301, 302, 303, 307, 308), 3
_DEFAULT_LIFE = 60  # seconds, of a token of which nothing is said
_LONGEST_LIFE = 86400
_MARGIN = 30  # seconds before its end in which a token is not used any more
_CLIENT = "rbuild"
_VISIBLE = re.compile(r"[\x21-\x7e]+", re.ASCII)


class Token(NamedTuple):
    """`until` is a time of `time.monotonic()`."""

    text: str
    until: float


class Wanted(NamedTuple):
    """A token that a registry asks for. `server` is what asked, as an address; `scopes` may be none."""

    server: str
    realm: str
    service: str
    scopes: tuple[str, ...]


def fetch(client: Client, wanted: Wanted, login: Login | None, tls: Tls) -> Token:
    """A token for `login`, or for nobody; `wanted.realm` is one of those that credentials may go to.

    AuthError says what the server has against it; NetworkError that it cannot be asked.
    """
    request = _exchange_of(wanted, login) if login and login.identity_token else _question_of(wanted, login)
    return client.persist(lambda: _asked(client, wanted, request, login, tls))


class _Request(NamedTuple):
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


def _question_of(wanted: Wanted, login: Login | None) -> _Request:
    """GET, as every token server understands it."""
    pairs = [("scope", scope) for scope in wanted.scopes]
    pairs += [("service", wanted.service)] if wanted.service else []
    known = login is not None and bool(login.username)
    pairs += [("account", login.username)] if login and known else []
    pairs.append(("client_id", _CLIENT))
    headers = {"Authorization": basic(login.username, login.password)} if login and known else {}
    mark = "&" if "?" in wanted.realm else "?"
    return _Request("GET", f"{wanted.realm}{mark}{_form(pairs)}", headers)


def _exchange_of(wanted: Wanted, login: Login) -> _Request:
    """POST, which alone takes an identity token (RFC 6749, 6)."""
    pairs = [("grant_type", "refresh_token"), ("service", wanted.service), ("client_id", _CLIENT)]
    pairs += [("scope", " ".join(wanted.scopes))] if wanted.scopes else []
    pairs.append(("refresh_token", login.identity_token))
    body = _form(pairs).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(body))}
    return _Request("POST", wanted.realm, headers, body)


def _form(pairs: Sequence[tuple[str, str]]) -> str:
    from urllib.parse import urlencode

    return urlencode(pairs)


def _asked(client: Client, wanted: Wanted, request: _Request, login: Login | None, tls: Tls) -> Token:
    for _ in range(_MOST + 1):
        with client.exchange(request.method, request.url, request.headers, request.body, tls) as answer:
            status, headers, body = answer.status, answer.headers, answer.all(_LARGEST)
        if request.method != "GET" or status not in _REDIRECTS:
            break
        request = _redirected(wanted, request, headers.get("location", ""))
    if status != 200:
        raise _refused(wanted, login, status, headers)
    return _token(wanted, headers, body)


def _redirected(wanted: Wanted, request: _Request, location: str) -> _Request:
    target = joined(request.url, location)
    if not location or origin_of(target) != origin_of(request.url):
        raise AuthError(
            f"{_step(wanted)}: the token server redirects elsewhere, to {redacted(target)}: nothing is sent there",
            hint="the registry has to name the server that gives tokens",
        )
    return request._replace(url=target)


def _step(wanted: Wanted) -> str:
    what = f"token to {', '.join(map(told, wanted.scopes))}" if wanted.scopes else "token"
    return f"{origin_of(wanted.server)}: {what} from {redacted(wanted.realm)}"


def told(scope: str) -> str:
    """`repository:team/app:pull,push` as "pull and push team/app"; others as they are."""
    resource, _, actions = scope.rpartition(":")
    kind, _, name = resource.partition(":")
    return f"{actions.replace(',', ' and ')} {name}" if kind == "repository" else scope


def _refused(wanted: Wanted, login: Login | None, status: int, headers: Mapping[str, str]) -> Exception:
    """Of its words nothing is shown: careless servers repeat what they were sent."""
    from http.client import responses

    said = f"{_step(wanted)}: {status} {responses.get(status, '')}".rstrip()
    host = login_name(str(origin_of(wanted.server)))
    if may_mend(status):
        error = NetworkError(said, hint="the token server is failing or busy: try again later")
        return Failed(error, retry_after(headers))
    if status not in (400, 401, 403):
        return NetworkError(said, hint=f"{origin_of(wanted.realm)} does not answer as a token server does")
    if login is None:
        return AuthError(f"{said}: it gives nothing without a login", hint=f"rbuild login {host}")
    return AuthError(f"{said}: {described(login)} is refused", hint=advice(login, host))


def login_name(host: str) -> str:
    """What people call a host that is asked."""
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host


def described(login: Login) -> str:
    who = f"the login of {login.username}" if login.username else "the token"
    return f"{who} ({login.where})" if login.where else who


def advice(login: Login, host: str) -> str:
    return f"correct {login.where}" if login.where.startswith("--") else f"rbuild login {host}"


def _token(wanted: Wanted, headers: Mapping[str, str], body: bytes) -> Token:
    from builder.oci.json import decode

    try:
        answer = decode(body, "its answer")
    except DocumentError:
        raise NetworkError(f"{_step(wanted)}: the answer is not JSON", hint=_NO_SERVER) from None
    text = answer.get("token") or answer.get("access_token")
    # What is put into a header must not start another one.
    if not isinstance(text, str) or not _VISIBLE.fullmatch(text):
        raise NetworkError(f"{_step(wanted)}: the answer holds no token", hint=_NO_SERVER)
    return Token(text, time.monotonic() + _life(answer, headers))


_NO_SERVER = "is there a proxy or a portal in between?"


def _life(answer: Mapping[str, object], headers: Mapping[str, str]) -> float:
    """Seconds for which a token may be used. Its age counts by the server's own clock: ours may be wrong."""
    told = answer.get("expires_in")
    # Cut before it is converted: JSON's numbers may be larger than any float.
    life = float(min(told, _LONGEST_LIFE)) if isinstance(told, int | float) and told > 0 else _DEFAULT_LIFE
    life -= _age(answer.get("issued_at"), headers.get("date", ""))
    return max(0.0, life - min(_MARGIN, life / 4))


def _age(issued: object, date: str) -> float:
    from datetime import datetime
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, (parsedate_to_datetime(date) - datetime.fromisoformat(str(issued))).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0
