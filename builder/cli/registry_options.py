"""The options of every command that may reach a registry."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from builder.errors import UsageError
from builder.registry.options import RegistryOptions

if TYPE_CHECKING:
    from collections.abc import Collection

    from builder.cli.argv import Arguments


def registry_options(arguments: Arguments) -> RegistryOptions:
    """Raises UsageError. Standard input is read for a password that --creds leaves out."""
    host, creds = _creds(arguments.one("creds"))
    return RegistryOptions(
        authfile=arguments.one("authfile") or "",
        creds=creds,
        creds_host=host,
        authorities=arguments.all("tls-ca"),
        verify=not arguments.unset("tls-verify"),
        cert_dir=arguments.one("cert-dir") or "",
        insecure=arguments.all("insecure-registry"),
        mirrors=tuple(_mirror(text) for text in arguments.all("mirror")),
        conf=arguments.one("registries-conf") or "",
    )


def options_of_file(arguments: Arguments) -> RegistryOptions:
    """The same for a command that asks whatever registries a Dockerfile names: none of those may get a password
    that is meant for another."""
    options = registry_options(arguments)
    if options.creds and not options.creds_host:
        raise UsageError(
            "--creds: a Dockerfile may name any registry: which one is to get this password?",
            hint="write --creds HOST=USER, or rbuild login HOST once",
        )
    return options


def check_creds(options: RegistryOptions, registries: Collection[str]) -> None:
    """UsageError for credentials without a host where several registries may ask for them."""
    if options.creds and not options.creds_host and len(set(registries)) > 1:
        raise UsageError(
            f"--creds: which of {', '.join(sorted(set(registries)))} is to get this password?",
            hint="write --creds HOST=USER, or rbuild login HOST once",
        )


def _creds(text: str | None) -> tuple[str, tuple[str, str] | None]:
    """`[HOST=]USER[:PASSWORD]`, or `-` for a line of that on standard input."""
    if text is None:
        return "", None
    host, user, password = _split(_line() if text == "-" else text)
    if not user:
        raise UsageError(
            "--creds: the user name is missing", hint="write --creds USER, and the password to standard input"
        )
    if text == "-" and password is None:
        raise UsageError("--creds -: standard input holds no USER:PASSWORD")
    return host, (_text(user), _text(_line() if password is None else password))


def is_text(secret: str) -> bool:
    """Bytes that are no UTF-8 reach us as lone surrogates, which no header can hold (RFC 7617, section 2.1)."""
    return secret.isascii() or not any("\ud800" <= character <= "\udfff" for character in secret)


def _text(secret: str) -> str:
    if not is_text(secret):
        raise UsageError("--creds: the user or the password is not UTF-8")
    return secret


def _split(text: str) -> tuple[str, str, str | None]:
    """A host has a dot or a port, or is localhost: other words before a = belong to the user or the password."""
    host, equals, rest = text.partition("=")
    if not equals or not re.fullmatch(
        r"localhost(:\d+)?|[\w-]+(\.[\w-]+)+(:\d+)?|[\w-]+:\d+|\[[\da-fA-F:]+\](:\d+)?", host
    ):
        host, rest = "", text
    user, colon, password = rest.partition(":")
    return host.lower(), user, password if colon else None


def _line() -> str:
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        raise UsageError("--creds: standard input holds what is not text") from None
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
