"""The proxy that the environment names: http_proxy, https_proxy, all_proxy and no_proxy, as Go reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import NetworkError
from builder.net.address import Origin, basic_of, is_loopback, origin_of, redacted
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Proxy(NamedTuple):
    """`authorization` is the value of the Proxy-Authorization header, None without credentials."""

    origin: Origin
    authorization: str | None = None


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """None where the server is to be asked directly: none is named, no_proxy excepts it, or it is this machine."""
    text = _named(environ, f"{origin.scheme}_proxy") or _named(environ, "all_proxy")
    if not text or is_loopback(origin.host) or _excepted(origin, _named(environ, "no_proxy")):
        return None
    from urllib.parse import urlsplit

    text = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(text)
        if parts.scheme == "http" and parts.hostname:
            return Proxy(origin_of(parts), basic_of(parts))
    except ValueError:  # whose text may be a piece of the password
        raise NetworkError(
            f"the proxy for {origin.scheme} is named by what is no address",
            hint="name one as http://USER:PASSWORD@HOST:PORT, with / # ? @ [ ] of the password as %2F %23 %3F %40 …",
        ) from None
    raise NetworkError(f"the proxy {redacted(text)} is not supported", hint="name one as http://HOST:PORT")


def _named(environ: Mapping[str, str], name: str) -> str:
    # A CGI script's HTTP_PROXY is a header of its client (CVE-2016-5385).
    upper = "" if name == "http_proxy" and "REQUEST_METHOD" in environ else environ.get(name.upper(), "")
    return (environ.get(name) or upper).strip()


def _excepted(origin: Origin, exceptions: str) -> bool:
    return any(_matches(word.strip().lower(), origin) for word in exceptions.split(",") if word.strip())


def _matches(word: str, origin: Origin) -> bool:
    """`*`, a network, a name (with what is below it), `.name` or `*.name` (only below), each with `:port` or not."""
    if word == "*":
        return True
    name, port = _with_port(word)
    if port and port != str(origin.port):
        return False
    if _in_network(name, origin.host):
        return True
    if name.startswith("*."):
        name = name[1:]
    return origin.host.endswith(name) if name.startswith(".") else f".{origin.host}".endswith(f".{name}")


def _with_port(word: str) -> tuple[str, str]:
    if word.startswith("["):
        host, _, port = word[1:].partition("]")
        return host, port.removeprefix(":")
    host, colon, port = word.rpartition(":")
    return (host, port) if colon and ":" not in host and port.isdigit() else (word, "")


def _in_network(text: str, host: str) -> bool:
    from ipaddress import ip_address, ip_network

    try:
        return ip_address(host) in ip_network(text, strict=False)
    except ValueError:
        return False
