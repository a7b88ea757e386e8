"""From a reference to the servers that are asked for it, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.net.tls import Tls
from builder.oci.reference import parse_reference
from builder.registry.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.oci.reference import Reference
    from builder.registry.options import RegistryOptions

_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


class Routes:
    """Where images are, by the command line, registries.conf and certs.d. Files are read on first use."""

    def __init__(self, options: RegistryOptions, environ: Mapping[str, str]) -> None:
        self._options = options
        self._environ = environ

    def pull(self, reference: Reference) -> tuple[Endpoint, ...]:
        """Mirrors, then the registry. RegistryError for a blocked one, UsageError for a faulty file."""
        return (self._endpoint(reference.domain, reference.path, reference.domain),)

    def push(self, reference: Reference) -> Endpoint:
        """The registry that the reference names, never a mirror."""
        return self._endpoint(reference.domain, reference.path, reference.domain)

    def qualify(self, text: str) -> Reference:
        """A short name is an alias of registries.conf, else one of docker.io, as with Docker."""
        return parse_reference(text)

    def _endpoint(self, host: str, repository: str, registry: str) -> Endpoint:
        insecure = host in self._options.insecure or not self._options.verify
        tls = Tls(verify=not insecure, authorities=self._options.authorities)
        plain = insecure or is_loopback(host)
        server, login = ("registry-1.docker.io", "index.docker.io") if host in _HUB else (host, host)
        return Endpoint(f"https://{server}", login, repository, registry, tls, host != registry, plain)


def is_loopback(host: str) -> bool:
    """Whether host[:port] is this machine: localhost, 127.0.0.0/8 or [::1]."""
    from ipaddress import ip_address

    name = host[1 : host.index("]")] if host.startswith("[") else host.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
