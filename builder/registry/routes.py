"""From a reference to the servers that are asked for it, in their order.

Those of --mirror, then those of registries.conf, then the registry itself, or the location that registries.conf gives
for it. Pushing goes to the registry alone.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from builder.errors import DocumentError, RegistryError, UsageError
from builder.net.address import is_loopback
from builder.oci.reference import DEFAULT_DOMAIN, Reference, parse_reference
from builder.registry.certs import tls_of
from builder.registry.conf_files import load_conf
from builder.registry.endpoint import Endpoint
from builder.registry.registries_conf import is_location, matched, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from builder.net.tls import Tls
    from builder.registry.options import RegistryOptions
    from builder.registry.registries_conf import Conf, Table

# What Docker Hub's server is called, and what credentials for it are kept under.
_HUB = "registry-1.docker.io"
_HUB_LOGIN = "index.docker.io"
_HUB_NAMES = (DEFAULT_DOMAIN, _HUB_LOGIN, _HUB)


class Routes:
    """Where images are, by the command line, registries.conf and certs.d. Files are read on first use, once.

    Raises UsageError for a faulty file or option, and RegistryError for a registry that is blocked.
    """

    def __init__(self, options: RegistryOptions, environ: Mapping[str, str]) -> None:
        self._options = options
        self._environ = environ
        self._tls: dict[tuple[str, bool], Tls] = {}

    def pull(self, reference: Reference) -> tuple[Endpoint, ...]:
        """Mirrors, then the registry."""
        wanted = reference.or_latest()
        table = self._allowed(wanted)
        ways = [*self._option_mirrors(wanted), *self._mirrors(wanted, table), self._itself(wanted, table)]
        return tuple(dict.fromkeys(ways))

    def push(self, reference: Reference) -> Endpoint:
        """The registry that the reference names: neither mirrors nor locations count, as with other tools."""
        table = self._allowed(reference.or_latest())
        return self._endpoint(reference, reference.domain, table is not None and table.insecure)

    def qualify(self, text: str) -> Reference:
        """A short name is an alias of registries.conf, else one of docker.io, as with Docker.

        UsageError where unqualified-search-registries leaves docker.io out: who wrote that wants nothing from there
        that is not asked for by its full name, and which of the others is meant would be a guess.
        """
        written = parse_reference(text)
        name = text.partition("@")[0].removesuffix(f":{written.tag}")
        if not is_written_short(name, written):
            return written
        value = dict(self.conf.aliases).get(name)
        if value:
            return parse_reference(value)._replace(tag=written.tag, digest=written.digest)
        if self.conf.search and DEFAULT_DOMAIN not in self.conf.search:
            raise UsageError(
                f"{text} is a short name, and unqualified-search-registries of {self.conf.searched_by} "
                f"leaves {DEFAULT_DOMAIN} out",
                hint=f"write {written} or {self.conf.search[0]}/{text}, or give it an alias there",
            )
        return written

    @cached_property
    def conf(self) -> Conf:
        return load_conf(self._options.conf, self._environ)

    def _allowed(self, wanted: Reference) -> Table | None:
        table = table_of(self.conf, str(wanted))
        if table is not None and table.blocked:
            raise RegistryError(
                f"{wanted}: blocked by {table.file}, for {table.prefix}",
                hint="who set blocked = true there knows why; another file is named with --registries-conf",
            )
        return table

    def _option_mirrors(self, wanted: Reference) -> Iterator[Endpoint]:
        for prefix, location in self._options.mirrors:
            plain, bare = _bare(prefix, location)
            covered = matched(prefix.rstrip("/"), str(wanted))
            if not covered:
                continue
            physical = _moved(wanted, covered, bare, f"--mirror {prefix}={location}")
            table = self._allowed(physical)
            endpoint = self._endpoint(physical, wanted.domain, table is not None and table.insecure)
            yield _over_http(endpoint) if plain else endpoint

    def _mirrors(self, wanted: Reference, table: Table | None) -> Iterator[Endpoint]:
        for mirror in table.mirrors if table else ():
            if mirror.by_digest if wanted.digest else mirror.by_tag:
                covered = matched(table.prefix, str(wanted)) if table else 0
                physical = _moved(wanted, covered, mirror.location, table.file if table else "")
                self._allowed(physical)
                yield self._endpoint(physical, wanted.domain, mirror.insecure)

    def _itself(self, wanted: Reference, table: Table | None) -> Endpoint:
        if table is None or not table.location:
            return self._endpoint(wanted, wanted.domain, table is not None and table.insecure)
        physical = _moved(wanted, matched(table.prefix, str(wanted)), table.location, table.file)
        if physical.domain != wanted.domain:
            self._allowed(physical)
        return self._endpoint(physical, wanted.domain, table.insecure)

    def _endpoint(self, physical: Reference, registry: str, insecure: bool) -> Endpoint:
        host = physical.domain
        anything = insecure or not self._options.verify or host.lower() in self._insecure
        server, login = (_HUB, _HUB_LOGIN) if host in _HUB_NAMES else (host, host)
        tls = self._trust(host, not anything)
        plain = anything or is_this_machine(host)
        return Endpoint(f"https://{server}", login, physical.path, registry, tls, host != registry, plain)

    def _trust(self, host: str, verify: bool) -> Tls:
        names = _HUB_NAMES if host in _HUB_NAMES else (host,)
        if (host, verify) not in self._tls:
            self._tls[host, verify] = tls_of(names, verify, self._options, self._environ)
        return self._tls[host, verify]

    @cached_property
    def _insecure(self) -> frozenset[str]:
        for host in self._options.insecure:
            if "/" in host or not is_location(host):
                raise UsageError(
                    f"--insecure-registry {host}: expected HOST[:PORT]", hint="as in registry.example:5000"
                )
        return frozenset(host.lower() for host in self._options.insecure)


def is_written_short(name: str, meant: Reference) -> bool:
    """Whether `name`, without tag and digest, has no registry."""
    return meant.domain == DEFAULT_DOMAIN and name.partition("/")[0] not in _HUB_NAMES


def is_this_machine(host: str) -> bool:
    """Whether host[:port] is."""
    return is_loopback(host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0])


def _bare(prefix: str, location: str) -> tuple[bool, str]:
    """Whether the location of a --mirror asks for plain HTTP, and the location without its scheme."""
    scheme, colon, rest = location.rpartition("://")
    bare = (rest if colon else location).rstrip("/")
    first = prefix.partition("/")[0].removeprefix("*.")
    location = f"…@{location.rpartition('@')[2]}" if "@" in location else location  # errors show no credentials
    if not is_location(prefix.rstrip("/"), wildcard=True) or not _is_domain(first):
        raise UsageError(
            f"--mirror {prefix}={location}: {prefix!r} does not begin with a registry", hint="as in docker.io/library"
        )
    if scheme not in ("", "http", "https") or not is_location(bare):
        raise UsageError(
            f"--mirror {prefix}={location}: {location!r} is not HOST[:PORT][/PATH]", hint="as in cache.example:5000/hub"
        )
    return scheme == "http", bare


def _is_domain(first: str) -> bool:
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _moved(wanted: Reference, covered: int, location: str, source: str) -> Reference:
    """`wanted` with `location` in place of what is covered of it: another repository, the same tag and digest."""
    text = location + str(wanted)[covered:]
    if not _is_domain(location.partition("/")[0]):
        raise UsageError(f"{source}: the location {location} names no registry", hint="as in cache.example:5000/hub")
    try:
        physical = parse_reference(text)
    except DocumentError as error:
        raise UsageError(f"{source}: {wanted} is moved to {location}: {error.message}") from error
    if "/" not in text:
        raise UsageError(f"{source}: {wanted} is moved to {location}: {text} names no repository")
    if (physical.tag, physical.digest) != (wanted.tag, wanted.digest):
        raise UsageError(
            f"{source}: the location {location} would give {wanted} another tag or digest",
            hint="a prefix with a tag can be blocked, but not moved",
        )
    return physical


def _over_http(endpoint: Endpoint) -> Endpoint:
    return endpoint._replace(base=endpoint.base.replace("https://", "http://", 1), plain=False)
