"""Downloads: an address asked for a file, over as many redirects as it takes.

What is ours to decide, on top of `net.client`: who is shown credentials, which statuses are an answer, and what
to advise when there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import AuthError, NetworkError
from builder.net.address import basic_of, joined, origin_of, redacted, split
from builder.net.client import Client, Failed
from builder.net.failed import retry_after
from builder.net.reasons import Unfit, Unreached, Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.events import Flag
    from builder.net.client import Answer, Patience

_REDIRECTS = (301, 302, 303, 307, 308)
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_MOST_REDIRECTS = 10
_HINT = "check the network and the proxy (https_proxy), or put the file into the build context"
_TRUST = "SSL_CERT_FILE=FILE names the authorities to trust"


class Downloads:
    """`authorization` gives the Authorization header for a host, or None. Stops soon after `cancelled` is set."""

    def __init__(
        self, authorization: Callable[[str], str | None], cancelled: Flag, patience: Patience | None = None
    ) -> None:
        self._authorization = authorization
        self._client = Client(cancelled, patience)

    def get(self, url: str, headers: Mapping[str, str], take: Callable[[Answer], None]) -> None:
        """Hand the answer, of status 200 or 304, to `take`, again after a failure on the way.

        Raises NetworkError or AuthError.
        """
        try:
            self._client.persist(lambda: self._follow(url, headers, take))
        except Unreached as error:
            if not isinstance(error, Unfit):
                error.hint = _TRUST if isinstance(error, Untrusted) else _HINT
            raise
        finally:
            self._client.close()

    def _follow(self, url: str, headers: Mapping[str, str], take: Callable[[Answer], None]) -> None:
        """The server that the Dockerfile names is shown credentials, and no other."""
        trusted = origin_of(url)
        for _ in range(_MOST_REDIRECTS + 1):
            # What the caller asks for comes after what we say of ourselves.
            sent = {"Accept": "*/*", **headers, **(self._own(url) if origin_of(url) == trusted else {})}
            with self._client.exchange("GET", url, sent) as answer:
                if answer.status not in _REDIRECTS:
                    _check(answer)
                    take(answer)
                    return
                target = answer.headers.get("location", "")
            if not target:
                raise NetworkError(f"{redacted(url)}: redirects without saying where to")
            url = joined(url, target)
        raise NetworkError(f"{redacted(url)}: more than {_MOST_REDIRECTS} redirects")

    def _own(self, url: str) -> dict[str, str]:
        parts = split(url)
        header = self._authorization(parts.hostname or "") or basic_of(parts)
        return {"Authorization": header} if header else {}


def _check(answer: Answer) -> None:
    status = answer.status
    if status in (200, 304):
        return
    import http.client

    said = f"{redacted(answer.url)}: the server answers {status} {http.client.responses.get(status, '')}".rstrip()
    if status in (401, 403, 407):
        host = split(answer.url).hostname
        raise AuthError(said, hint=f"pass a token with --secret id=HTTP_AUTH_TOKEN_{host},src=FILE")
    if status in _AGAIN:
        raise Failed(NetworkError(said, hint=_HINT), retry_after(answer.headers))
    raise NetworkError(said, hint="check the address for typing errors" if status in (404, 410) else _HINT)
