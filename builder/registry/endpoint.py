"""Where a repository is to be asked for."""

from __future__ import annotations

from builder.net.tls import Tls
from builder.values import NamedTuple


class Endpoint(NamedTuple):
    """`base` is scheme://host[:port], without a path; `repository` is what that server calls it.

    `host` is the host[:port] under which credentials are kept, which differs from `base` for docker.io.
    `registry` is the name that images of it have, `mirror` says that this is another host than that registry's.
    `plain` says that `base` is only the first choice: a server that does not speak TLS may be asked in plain HTTP.
    """

    base: str
    host: str
    repository: str
    registry: str
    tls: Tls = Tls()
    mirror: bool = False
    plain: bool = False

    @property
    def name(self) -> str:
        """For messages: where a request goes, as people write it."""
        return f"{self.base.partition('://')[2]}/{self.repository}"
