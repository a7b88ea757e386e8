"""The names under which credentials are kept, whoever wrote them.

https://index.docker.io/v1/   docker's name of docker.io
quay.io/team/app              of these repositories alone (containers-auth.json, 5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HUB = "docker.io"
_HUB_ADDRESS = "https://index.docker.io/v1/"
_HUB_HOSTS = (HUB, "index.docker.io", "registry-1.docker.io")


def normal(key: str) -> str:
    """HOST[:PORT][/PATH], the same for all spellings of one. An address stands for its whole host."""
    bare = key.removeprefix("https://").removeprefix("http://")
    host, _, path = bare.partition("/")
    host = host.lower()
    host = HUB if host in _HUB_HOSTS else host
    whole = bare != key or path in ("", "v1/", "v2/")
    return host if whole else f"{host}/{path.rstrip('/')}"


def spelled(prefix: str) -> str:
    """As it is written into files and told to programs: as docker does it, whose other readers know no other way."""
    return _HUB_ADDRESS if prefix == HUB else prefix


def lookups(host: str, repository: str) -> Iterator[str]:
    """The prefixes of host/repository, the longest first."""
    left = f"{normal(host)}/{repository}".rstrip("/")
    while left:
        yield left
        left = left.rpartition("/")[0]
