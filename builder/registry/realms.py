"""Where credentials may go at a registry's word, and how far that server is trusted.

Only to a place that is as safe as the registry itself (CVE-2020-15157 and its kin): over TLS, or in plain HTTP to this
machine, to the registry's own host or to one that the user calls insecure.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.errors import AuthError, NetworkError
from builder.net.address import is_loopback, origin_of, redacted, split
from builder.registry.certs import tls_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.net.address import Origin
    from builder.net.tls import Tls
    from builder.registry.endpoint import Endpoint
    from builder.registry.options import RegistryOptions


def check_realm(server: str, realm: str, options: RegistryOptions) -> None:
    """AuthError for a token server that credentials must not go to. `server` is the address that asked for a token."""
    asking, shown = origin_of(server), redacted(realm)
    try:
        parts = split(realm)
        named = origin_of(parts)
    except NetworkError as error:
        raise AuthError(f"{asking}: the token server that it names is no address: {error.message}") from error
    if parts.username is not None or parts.fragment:
        raise AuthError(f"{asking}: the token server that it names is more than an address: {shown}")
    if named.scheme == "https":
        return
    if asking.scheme == "https":
        raise AuthError(
            f"{asking}: names a token server without TLS, {shown}: nothing is sent there",
            hint="the registry has to name it as https://…",
        )
    if not (named.host == asking.host or is_loopback(named.host) or _is_insecure(named, options)):
        raise AuthError(
            f"{asking}: names a token server without TLS on another host, {shown}: nothing is sent there",
            hint=f"if you trust the network to it: --insecure-registry {named}",
        )


def trust(endpoint: Endpoint, realm: str, options: RegistryOptions, environ: Mapping[str, str]) -> Tls:
    """On the registry's own host its certificates count, elsewhere those of that host.

    A --cert-dir without a directory for it says who we are to the registry alone.
    """
    named = origin_of(realm)
    if named.host == origin_of(endpoint.base).host:
        return endpoint.tls
    found = tls_of((str(named),), not _is_insecure(named, options), options, environ)
    ours = not options.cert_dir or os.path.isdir(os.path.join(options.cert_dir, str(named)))
    return found if ours else found._replace(certificate="", key="")


def _is_insecure(named: Origin, options: RegistryOptions) -> bool:
    return not options.verify or str(named) in {host.lower() for host in options.insecure}
