"""Addresses of the web: taken apart, compared, and shown without the credentials in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.errors import NetworkError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY = re.compile(r"\?\S*")
_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Who answers: two addresses of one origin are of one server (RFC 6454)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == _PORTS.get(self.scheme) else f"{shown}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether a host, without its port and brackets, is this machine: localhost, 127.0.0.0/8 or ::1 (RFC 6761, 6.3)."""
    from ipaddress import ip_address

    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def redacted(url: str) -> str:
    """`url` without credentials; queries go too, for those of storage servers are signatures."""
    return _QUERY.sub("?…", _CREDENTIALS.sub("", url))


def split(url: str) -> SplitResult:
    """NetworkError for what is no http or https address."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise NetworkError(f"{redacted(url)}: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise NetworkError(f"{redacted(url)}: not an http or https address")
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        raise NetworkError(f"{redacted(url)!r}: an address cannot hold blanks", hint="write %20 for a blank")
    return parts


def origin_of(url: str | SplitResult) -> Origin:
    parts = split(url) if isinstance(url, str) else url
    return Origin(parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme])


def target_of(parts: SplitResult) -> str:
    """Path and query as they are sent."""
    from urllib.parse import quote

    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return path + (f"?{quote(parts.query, safe='/%:@!$&' + _REST)}" if parts.query else "")


_REST = "'()*+,;=~-._?"


def joined(url: str, location: str) -> str:
    """Where the Location of an answer of `url` leads."""
    from urllib.parse import urljoin

    return urljoin(url, location)


def basic(username: str, password: str) -> str:
    """The value of an Authorization header (RFC 7617)."""
    from base64 import b64encode

    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()


def basic_of(parts: SplitResult) -> str | None:
    """The same for the user and password that an address itself carries, if it does."""
    from urllib.parse import unquote

    if parts.username is None:
        return None
    return basic(unquote(parts.username), unquote(parts.password or ""))
