"""How far a server is trusted."""

from __future__ import annotations

from builder.values import NamedTuple


class Tls(NamedTuple):
    """`authorities` are PEM files trusted beside the system's; `certificate` and `key` PEM files of our own, or "".

    `verify` False takes any certificate.
    """

    verify: bool = True
    authorities: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
