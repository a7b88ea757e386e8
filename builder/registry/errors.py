"""What a registry's refusal means: one line, and what to do about it.

    cache.example:5000: GET manifest library/golang:1.21: 404 Not Found: MANIFEST_UNKNOWN: manifest unknown

Which host, which step of the protocol, which status, and the registry's own words (distribution-spec, "Error codes"),
of which nothing is believed: they are cut, made printable, and never hold a credential that we sent.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import AuthError, BuildError, NetworkError, RegistryError
from builder.net.reasons import Unreached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from builder.registry.endpoint import Endpoint

LARGEST = 1 << 16  # bytes of a refusal that are worth reading
_LONGEST = 200  # characters of it that are worth showing
_MOST = 3  # errors of one answer
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


def may_mend(status: int) -> bool:
    """Whether the same request may succeed a little later."""
    return status in _AGAIN


def refusal(
    endpoint: Endpoint,
    step: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    known: bool = False,
    hidden: Callable[[str], str] = str,
) -> BuildError:
    """The error for an answer that is not the one asked for. `body` is its beginning, at most LARGEST bytes.

    `step` is what was asked ("GET manifest library/golang:1.21"), `headers` have lower-case names, `known` says that
    credentials were sent, and `hidden` takes them out of a text.
    """
    codes, words = _told(headers, body, hidden)
    message = f"{host_of(endpoint)}: {step}: {_status(status)}" + (f": {words}" if words else "")
    kind, hint = _meaning(endpoint, step, status, headers, codes, known)
    if _is_plain_to_tls(status, body):
        kind, hint = NetworkError, f"{host_of(endpoint)} speaks TLS: leave out http:// where it is named"
    return kind(message, hint=hint)


@contextmanager
def at_step(endpoint: Endpoint, step: str) -> Iterator[None]:
    """An exchange that fails on its way is told as refusals are: host, step, reason."""
    from builder.net.client import Failed

    try:
        yield
    except Failed as failed:
        raise Failed(_placed(endpoint, step, failed.error), failed.wait) from failed
    except Unreached as error:
        raise _placed(endpoint, step, error) from error


def _placed(endpoint: Endpoint, step: str, error: BuildError) -> BuildError:
    host = host_of(endpoint)
    if not isinstance(error, Unreached) or error.message.startswith(f"{host}: {step}"):
        return error
    # Blobs are often somewhere else: the registry redirects to its storage.
    return error.at(f"{host}: {step}" if error.host == host else f"{host}: {step}: at {error.host}")


def host_of(endpoint: Endpoint) -> str:
    """The host[:port] that is asked, for messages."""
    return endpoint.base.partition("://")[2]


def _status(status: int) -> str:
    from http.client import responses

    return f"{status} {_PHRASES.get(status) or responses.get(status, '')}".rstrip()


# RFC 9110 names these otherwise than its predecessors, and Python has the names of either by its version.
_PHRASES = {413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}


def _told(headers: Mapping[str, str], body: bytes, hidden: Callable[[str], str]) -> tuple[tuple[str, ...], str]:
    """The codes, and the codes and messages as one line; of a body that is no registry's, what it is."""
    errors = _errors(body[:LARGEST])
    if errors is None:
        kind = headers.get("content-type", "").partition(";")[0].strip()
        foreign = bool(body.strip()) and "json" not in kind
        return (), _shown(f"the answer is {kind or 'no JSON'}, not a registry's") if foreign else ""
    codes = tuple(code for code, _ in errors)
    shown = [hidden(": ".join(part for part in pair if part)) for pair in errors[:_MOST]]
    more = f"; {len(errors) - _MOST} more" if len(errors) > _MOST else ""
    return codes, _shown("; ".join(shown)) + more


def _errors(body: bytes) -> list[tuple[str, str]] | None:
    """Pairs of code and message, or None where the body is not what the specification describes."""
    import json

    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    listed = document.get("errors")
    if not isinstance(listed, list):
        said = document.get("message") or document.get("details") or document.get("error")  # a token server's
        return [("", said)] if isinstance(said, str) else None
    return [(_text(error, "code"), _text(error, "message")) for error in listed if isinstance(error, dict)]


def _text(error: Mapping[str, object], name: str) -> str:
    value = error.get(name)
    return value if isinstance(value, str) else ""


def _shown(text: str) -> str:
    """On one line, cut, without what could be a credential or an escape sequence."""
    import re

    line = " ".join(text.split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    line = re.sub(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}", r"\1 ****", line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _is_plain_to_tls(status: int, body: bytes) -> bool:
    """Go's and nginx's answers to plain HTTP on a TLS port."""
    start = body[:400].lower()
    return status == 400 and (b"http request to an https server" in start or b"sent to https port" in start)


def _meaning(
    endpoint: Endpoint, step: str, status: int, headers: Mapping[str, str], codes: tuple[str, ...], known: bool
) -> tuple[type[BuildError], str]:
    host = _login_name(endpoint)
    if status in (401, 403):
        return AuthError, _auth_hint(host, step, status, known)
    if status == 404:
        return RegistryError, _absent_hint(endpoint, step, codes)
    if status == 429 or "TOOMANYREQUESTS" in codes:
        mirror = "" if endpoint.mirror else f"; a mirror spares it: --mirror {host}=LOCATION"
        return NetworkError, _limit_hint(host, headers, known) + mirror
    if status == 407:
        return NetworkError, "the proxy wants credentials: name it as http://USER:PASSWORD@HOST:PORT in https_proxy"
    if status >= 500 or status in _AGAIN:
        return (
            NetworkError,
            "the registry or a proxy before it is failing: try again later, or name a mirror (--mirror)",
        )
    return RegistryError, _REFUSED.get(status, "the registry does not take this request; is it a registry at all?")


_REFUSED = {
    400: "the registry finds fault with the request: the words above are its reason",
    405: "the registry does not allow this: is it read-only, or a pull-through cache?",
    413: "the registry, or a proxy before it, has a limit on the size of a request: raise it there",
    415: "the registry does not take this media type",
    416: "the registry and we disagree about how much it has: try again",
}


def _login_name(endpoint: Endpoint) -> str:
    """What people call the host that credentials are kept for."""
    return "docker.io" if endpoint.host in ("index.docker.io", "registry-1.docker.io") else endpoint.host


def _auth_hint(host: str, step: str, status: int, known: bool) -> str:
    if status == 401 and known:
        return f"the credentials for {host} are refused: rbuild login {host}"
    if known:
        return f"the account has no right to this at {host}, or the repository does not exist"
    if step.startswith(_WRITING):
        return f"to push there: rbuild login {host}"
    return f"check the name, for what does not exist is answered like this too; if it is private: rbuild login {host}"


_WRITING = ("PUT", "POST", "PATCH", "DELETE")


def _absent_hint(endpoint: Endpoint, step: str, codes: tuple[str, ...]) -> str:
    repository = f"{endpoint.registry if not endpoint.mirror else endpoint.host}/{endpoint.repository}"
    if "NAME_UNKNOWN" in codes:
        return f"check the name: {host_of(endpoint)} has no repository {endpoint.repository}"
    if "manifest" in step.lower() or "MANIFEST_UNKNOWN" in codes:
        return f"check the name and the tag: rbuild ls-tags {repository}"
    if "blob" in step.lower() or "BLOB_UNKNOWN" in codes:
        return "the registry has lost a part of the image: push it again, or pull it from elsewhere"
    return "check the name; not every registry has every part of the protocol"


def _limit_hint(host: str, headers: Mapping[str, str], known: bool) -> str:
    """What the server says of its limit: "100;w=21600" is 100 in 21600 seconds."""
    limit, _, window = headers.get("ratelimit-limit", "").partition(";w=")
    most, seconds, wait = map(count_of, (limit, window, headers.get("retry-after", "")))
    known_limit = most is not None and seconds is not None
    told = f"its limit is {most} in {_span(seconds or 0)}" if known_limit else "it limits requests"
    again = f", the next in {_span(wait)}" if wait is not None else ""
    account = "" if known else f"; a login may raise it: rbuild login {host}"
    return f"{told}{again}{account}"


def _span(seconds: int) -> str:
    return f"{seconds // 3600} h" if seconds >= 7200 else f"{seconds // 60} min" if seconds >= 120 else f"{seconds} s"


def count_of(text: str) -> int | None:
    """A number as headers have it, else None: of what Unicode calls digits, too, which are no numbers of ours."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
