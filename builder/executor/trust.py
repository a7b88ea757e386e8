"""Before a RUN with --build-ca: its root gets one more lower layer, in which the bundles of the image trust more.

    upper                  what the step writes
    trust  ◄──             /etc/ssl/certs/ca-certificates.crt: the image's own + ours; same owner, mode and time
    layers of the image

A layer and no mount on the file: `update-ca-certificates` writes a new bundle and renames it over the old one,
and nothing can be renamed over a mount (EBUSY). What a step copies up of it is taken back in `untrust`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.executor.authorities import heads_in
from builder.layers import place as layers_place
from builder.layers.tree import create_tree
from builder.sandbox.attachments import Attachment
from builder.snapshots.filetree import parent, resolve
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.executor.authorities import Authorities
    from builder.executor.copy_op import Target
    from builder.snapshots.filetree import Entry
    from builder.snapshots.view import View

LIMIT = 16 << 20  # bytes of a bundle; what is larger is none

# Where programs look, distribution by distribution. Most are links to one of the others.
BUNDLES = (
    "etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch, Gentoo
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/pki/tls/cert.pem",
    "etc/ssl/ca-bundle.pem",  # SUSE
    "var/lib/ca-certificates/ca-bundle.pem",
    "etc/ca-certificates/extracted/tls-ca-bundle.pem",  # Arch
    "etc/ssl/cert.pem",
    "etc/ssl/certs/ca-bundle.crt",
    "usr/lib/ssl/cert.pem",
)

FILE = "/dev/rbuild/ca-certificates.crt"  # a tmpfs of the step's own
VARIABLES = (
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
)


class Trusted(NamedTuple):
    """What a step gets beside what it asked for."""

    lowers: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


def prepare(authorities: Authorities | None, room: str, target: Target) -> Trusted:
    """BuildError when what the image has in the place of a bundle cannot be one."""
    if authorities is None:
        return Trusted()
    bundles = list(_bundles(target.base).items())
    content = bundles[0][1][1] if bundles else _of_this_machine()
    file = Attachment("file", FILE, False, content=content + authorities.block(), mode=0o444, readonly=True)
    env = tuple((name, FILE) for name in VARIABLES)
    lacking = [entry for _, (entry, text) in bundles if not authorities.heads() <= heads_in(text)]
    return Trusted(_layer(lacking, authorities, f"{room}/trust", target), (file,), env)


def _bundles(base: View) -> dict[str, tuple[Entry, bytes]]:
    """Those that the image has, with their content, by where their links lead inside it."""
    found: dict[str, tuple[Entry, bytes]] = {}
    for name in BUNDLES:
        path = resolve(base, name)
        entry = None if path in found else base.entry(path)
        if entry is not None:
            found[path] = (entry, _read(base, name, entry))
    return found


def _read(base: View, name: str, entry: Entry) -> bytes:
    if not entry.is_file or entry.size > LIMIT:
        reason = f"is larger than {LIMIT >> 20} MiB" if entry.is_file else "is no regular file"
        raise BuildError(
            f"--build-ca: /{name} in the image {reason}", hint="what is no bundle cannot be extended: remove it"
        )
    with open(base.open(entry), "rb") as file:
        return file.read(LIMIT)


def _of_this_machine() -> bytes:
    """For an image without a bundle. The variables replace what a package brings in the very step that installs it:
    with ours alone, the rest of that step could no longer reach a public server."""
    for name in BUNDLES:
        try:
            with open(f"/{name}", "rb") as file:
                return file.read(LIMIT)
        except OSError:
            continue
    return b""


def _layer(entries: list[Entry], authorities: Authorities, tree: str, target: Target) -> tuple[str, ...]:
    if not entries:
        return ()
    create_tree(tree)
    rows = [_directory(path, target) for path in _parents(entries)] + [_file(entry, target) for entry in entries]
    layers_place.place(rows, tree, owners=target.owners, source="tree")
    for entry in entries:
        _append(f"{tree}/diff/{entry.path}", authorities.block(), entry.mtime_ns)
    root = target.base.entry("")
    assert root is not None
    os.chmod(f"{tree}/diff", root.mode & 0o7777 | 0o700)
    return (f"{tree}/diff",)


def _parents(entries: list[Entry]) -> list[str]:
    """Outer ones first."""
    found = set()
    for entry in entries:
        path = parent(entry.path)
        while path:
            found.add(path)
            path = parent(path)
    return sorted(found)


def _directory(path: str, target: Target) -> tuple[object, ...]:
    """With the owner, mode and time that it has below: a step that writes into it copies them up from here."""
    entry = target.base.entry(path)
    assert entry is not None
    name = os.fsencode(path)
    return ("copyup", name, 0, 0, 0, entry.mtime_ns, target.base.descriptor(entry.place), name, None)


def _file(entry: Entry, target: Target) -> tuple[object, ...]:
    name = os.fsencode(entry.path)
    return ("file", name, -1, -1, -1, entry.mtime_ns, target.base.descriptor(entry.place), name, None)


def _append(path: str, text: bytes, mtime_ns: int) -> None:
    bits = os.stat(path).st_mode & 0o7777
    os.chmod(path, bits | 0o200)  # the image may have it read-only, and outside of a namespace that holds for us
    with open(path, "ab") as file:
        file.write(text)
    os.chmod(path, bits)
    os.utime(path, ns=(mtime_ns, mtime_ns))
