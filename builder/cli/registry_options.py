"""The options of every command that may reach a registry."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from builder.errors import UsageError
from builder.registry.options import RegistryOptions

if TYPE_CHECKING:
    from builder.cli.argv import Arguments


def registry_options(arguments: Arguments) -> RegistryOptions:
    """Raises UsageError. Standard input is read for a password that --creds leaves out."""
    return RegistryOptions(
        authfile=arguments.one("authfile") or "",
        creds=_creds(arguments.one("creds")),
        authorities=arguments.all("tls-ca"),
        verify=not arguments.unset("tls-verify"),
        cert_dir=arguments.one("cert-dir") or "",
        insecure=arguments.all("insecure-registry"),
        mirrors=tuple(_mirror(text) for text in arguments.all("mirror")),
        conf=arguments.one("registries-conf") or "",
    )


def _creds(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    user, colon, password = _line().partition(":") if text == "-" else text.partition(":")
    if not user:
        raise UsageError(
            "--creds: the user name is missing", hint="write --creds USER, and the password to standard input"
        )
    if text == "-" and not colon:
        raise UsageError("--creds -: standard input holds no USER:PASSWORD")
    return user, password if colon else _line()


def _line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise UsageError("--creds: standard input ended before the password")
    return line.rstrip("\r\n")


def _mirror(text: str) -> tuple[str, str]:
    prefix, equals, location = text.partition("=")
    if not (prefix and equals and location):
        raise UsageError(
            f"--mirror {text}: expected PREFIX=LOCATION", hint="as in --mirror docker.io=cache.example:5000/hub"
        )
    return prefix, location
