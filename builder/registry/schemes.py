"""Whether a server that may be asked in plain HTTP has to be: TLS is tried first, once.

Only a server that answers something else than TLS, or that has nothing on the port of https while the image's name
has no port, is asked in plain HTTP. One whose certificate is wrong is not: a name that is meant to be secure never
becomes less so. The one refused handshake takes about a millisecond on a local network.
"""

from __future__ import annotations

from _thread import allocate_lock
from typing import TYPE_CHECKING

from builder.net.reasons import NotTls, Refused

if TYPE_CHECKING:
    from builder.net.client import Client
    from builder.registry.endpoint import Endpoint


class Schemes:
    """What was found out, for a command or a build. May be used from any thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._guard = allocate_lock()
        self._bases: dict[str, str] = {}

    def settled(self, endpoint: Endpoint) -> Endpoint:
        """`endpoint` with the scheme that its server speaks. To be run under `persist`: raises Failed or Lasting."""
        if not endpoint.plain:
            return endpoint
        with self._guard:
            if endpoint.base not in self._bases:
                self._bases[endpoint.base] = self._spoken(endpoint)
        return endpoint._replace(base=self._bases[endpoint.base], plain=False)

    def _spoken(self, endpoint: Endpoint) -> str:
        from builder.net.client import Failed

        try:
            with self._client.exchange("GET", f"{endpoint.base}/v2/", tls=endpoint.tls):
                return endpoint.base
        except NotTls:
            pass
        except Failed as failed:
            if not isinstance(failed.error, Refused) or _has_port(endpoint.base):
                raise
        return endpoint.base.replace("https://", "http://", 1)


def _has_port(base: str) -> bool:
    return ":" in base.partition("://")[2].rpartition("]")[2]
