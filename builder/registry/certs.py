"""Whom a registry is trusted by: certs.d directories, --cert-dir and --tls-ca, as one Tls value.

certs.d/
└── registry.example:5000/      the host, with its port where the image's name has one
    ├── ca.crt                  *.crt: authorities, trusted for this registry beside the system's
    ├── client.cert             *.cert and *.key: who we are
    └── client.key
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.errors import UsageError
from builder.net.tls import Tls
from builder.registry.conf_files import config_home

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from builder.registry.options import RegistryOptions

_SYSTEM = ("/etc/containers/certs.d", "/etc/docker/certs.d")
_KINDS = (".crt", ".cert", ".key")
_LARGEST = 8 << 20


def tls_of(hosts: Sequence[str], verify: bool, options: RegistryOptions, environ: Mapping[str, str]) -> Tls:
    """Trust for the server that `hosts` are the names of. Raises UsageError naming the file that is faulty."""
    for path in options.authorities:
        _check(path, b"CERTIFICATE")
    found = _of_directory(_directory(hosts, options, environ))
    return found._replace(verify=verify, authorities=(*options.authorities, *found.authorities))


def _directory(hosts: Sequence[str], options: RegistryOptions, environ: Mapping[str, str]) -> str:
    """The first directory that there is for one of `hosts`, or ""."""
    roots = (options.cert_dir,) if options.cert_dir else _roots(environ)
    for root in roots:
        for host in hosts:
            path = os.path.join(root, host)
            # A token server is called what the registry likes: `..` is no directory of certs.d.
            if host.strip(".") and os.path.isdir(path):
                return path
    return _given(options.cert_dir) if options.cert_dir else ""


def _roots(environ: Mapping[str, str]) -> tuple[str, ...]:
    home = environ.get("HOME", "")
    own = [config_home(environ), os.path.join(home, ".config") if home else ""]
    places = [os.path.join(base, engine, "certs.d") for engine in ("containers", "docker") for base in own if base]
    return (*dict.fromkeys(places), *_SYSTEM)


def _given(path: str) -> str:
    """--cert-dir itself, which may hold the files of the one registry that is asked."""
    if not os.path.isdir(path):
        raise UsageError(f"--cert-dir {path}: no such directory", hint="name one with *.crt, *.cert and *.key")
    return path


def _of_directory(path: str) -> Tls:
    if not path:
        return Tls()
    try:
        names = sorted(name for name in os.listdir(path) if name.endswith(_KINDS))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    authorities = tuple(os.path.join(path, name) for name in names if name.endswith(".crt"))
    for authority in authorities:
        _check(authority, b"CERTIFICATE")
    return _client_pair(path, names)._replace(authorities=authorities)


def _client_pair(path: str, names: Sequence[str]) -> Tls:
    stems = sorted({name.rpartition(".")[0] for name in names if not name.endswith(".crt")})
    if not stems:
        return Tls()
    if len(stems) > 1:
        raise UsageError(
            f"{path}: has several client certificates: {', '.join(stems)}", hint="leave one *.cert with its *.key there"
        )
    halves = [f"{stems[0]}{kind}" for kind in (".cert", ".key")]
    for half, other in (halves, halves[::-1]):
        if half not in names:
            raise UsageError(
                f"{os.path.join(path, other)}: {half} is missing beside it",
                hint="authorities are named *.crt; a client has NAME.cert and NAME.key",
            )
    certificate, key = (os.path.join(path, half) for half in halves)
    _check(certificate, b"CERTIFICATE")
    _check(key, b"PRIVATE KEY")
    return Tls(certificate=certificate, key=key)


def _check(path: str, kind: bytes) -> None:
    """That `path` can be read and holds what it should: the TLS library would not tell which file is at fault."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    what = kind.decode().lower()
    if b"-----BEGIN " not in content or kind + b"-----" not in content:
        raise UsageError(
            f"{path}: holds no {what} in PEM form", hint=f"such a file has a line -----BEGIN {kind.decode()}-----"
        )
    if kind == b"PRIVATE KEY" and b"ENCRYPTED" in content:
        # OpenSSL would ask for the pass phrase on the terminal, and wait for ever where there is none.
        raise UsageError(f"{path}: the key has a pass phrase", hint="leave it without: openssl pkey -in KEY -out NEW")
