"""What a command line says of registries: the same options for build, pull, push, copy and all the others."""

from __future__ import annotations

from builder.values import NamedTuple


class RegistryOptions(NamedTuple):
    """`authfile` and `conf` name files, "" the usual ones; `creds` are a user and a password
    for the registry `creds_host`, or with "" for every registry that the command names.

    `authorities` are PEM files to trust, `verify` False takes any certificate, `cert_dir` is instead of certs.d.
    `insecure` are hosts (with port) that may be spoken to in plain HTTP or with any certificate.
    `mirrors` are pairs of a prefix (`docker.io`, `quay.io/team`) and where to ask first (`cache:5000/hub`).
    """

    authfile: str = ""
    creds: tuple[str, str] | None = None
    creds_host: str = ""
    authorities: tuple[str, ...] = ()
    verify: bool = True
    cert_dir: str = ""
    insecure: tuple[str, ...] = ()
    mirrors: tuple[tuple[str, str], ...] = ()
    conf: str = ""

    def __repr__(self) -> str:
        """Without the password: a traceback or a failed test may print it."""
        return f"RegistryOptions(authfile={self.authfile!r}, conf={self.conf!r}, …)"
