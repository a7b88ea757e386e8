"""The /etc/hosts of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_REST = """::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def hosts_file(hostname: str, added: Sequence[tuple[str, str]]) -> bytes:
    """The loopback names, the step's own, and a line for each --add-host, in the order given."""
    lines = "".join(f"{address}\t{name}\n" for name, address in added)
    return f"127.0.0.1\tlocalhost {hostname}\n{_REST}{lines}".encode()
