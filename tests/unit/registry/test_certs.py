"""Trust out of directories: which of them count, and what may be wrong with the files."""

from __future__ import annotations

from typing import Any

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from builder.errors import UsageError
from builder.net.tls import Tls
from builder.registry.certs import tls_of
from builder.registry.options import RegistryOptions

ENVIRON = {"HOME": "/home/ann"}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\n"
KEY = "-----BEGIN EC PRIVATE KEY-----\n"
OWN = "/home/ann/.config/containers/certs.d"


def trust(host: str = "r.x:5000", environ: dict[str, str] | None = None, **options: Any) -> Tls:
    return tls_of((host,), True, RegistryOptions(**options), ENVIRON if environ is None else environ)


@pytest.mark.parametrize(
    "directory",
    [
        OWN,
        "/config/containers/certs.d",
        "/config/docker/certs.d",
        "/etc/containers/certs.d",
        "/etc/docker/certs.d",
    ],
)
def test_a_registry_s_directory_is_found_where_other_tools_look(fs: FakeFilesystem, directory: str) -> None:
    fs.create_file(f"{directory}/r.x:5000/ca.crt", contents=CERTIFICATE)
    fs.create_file(f"{directory}/r.x/ca.crt", contents="not looked at")
    environ = {**ENVIRON, "XDG_CONFIG_HOME": "/config"}

    assert trust(environ=environ) == Tls(authorities=(f"{directory}/r.x:5000/ca.crt",))
    assert trust("other.x:5000", environ=environ) == Tls()


def test_the_user_s_directory_comes_before_the_system_s(fs: FakeFilesystem) -> None:
    for directory in ("/etc/docker/certs.d", "/etc/containers/certs.d", OWN):
        fs.create_file(f"{directory}/r.x:5000/ca.crt", contents=CERTIFICATE)

    assert trust().authorities == (f"{OWN}/r.x:5000/ca.crt",)
    assert trust(environ={}).authorities == ("/etc/containers/certs.d/r.x:5000/ca.crt",)


def test_files_are_known_by_their_endings(fs: FakeFilesystem) -> None:
    place = f"{OWN}/r.x:5000"
    for name, contents in (
        ("b.crt", CERTIFICATE),
        ("a.crt", CERTIFICATE),
        ("me.cert", CERTIFICATE),
        ("me.key", KEY),
        ("README", "not PEM"),
    ):
        fs.create_file(f"{place}/{name}", contents=contents)

    assert trust() == Tls(True, (f"{place}/a.crt", f"{place}/b.crt"), f"{place}/me.cert", f"{place}/me.key")


def test_a_directory_of_the_command_line_is_instead_of_the_usual_ones(fs: FakeFilesystem) -> None:
    """As its files, or, as in certs.d, with a directory for the host."""
    fs.create_file(f"{OWN}/r.x:5000/ca.crt", contents=CERTIFICATE)
    fs.create_file("/given/ca.crt", contents=CERTIFICATE)
    fs.create_file("/given/other.x/ca.crt", contents=CERTIFICATE)

    assert trust(cert_dir="/given").authorities == ("/given/ca.crt",)
    assert trust("other.x", cert_dir="/given").authorities == ("/given/other.x/ca.crt",)
    with pytest.raises(UsageError, match="^--cert-dir /nowhere: no such directory"):
        trust(cert_dir="/nowhere")


def test_authorities_of_the_command_line_come_first(fs: FakeFilesystem) -> None:
    fs.create_file(f"{OWN}/r.x:5000/ca.crt", contents=CERTIFICATE)
    fs.create_file("/ca.pem", contents=CERTIFICATE)

    assert trust(authorities=("/ca.pem",)).authorities == ("/ca.pem", f"{OWN}/r.x:5000/ca.crt")


FAULTS = [
    ({"me.cert": CERTIFICATE}, "me.cert: me.key is missing beside it"),
    ({"me.key": KEY}, "me.key: me.cert is missing beside it"),
    ({"me.cert": CERTIFICATE, "you.key": KEY}, "has several client certificates: me, you"),
    ({"ca.crt": ""}, "ca.crt: holds no certificate in PEM form"),
    ({"ca.crt": KEY}, "ca.crt: holds no certificate in PEM form"),
    ({"me.cert": CERTIFICATE, "me.key": CERTIFICATE}, "me.key: holds no private key in PEM form"),
    (
        {"me.cert": CERTIFICATE, "me.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"},
        "me.key: the key has a pass phrase",
    ),
    (
        {"me.cert": CERTIFICATE, "me.key": f"{KEY}Proc-Type: 4,ENCRYPTED\n"},
        "me.key: the key has a pass phrase",
    ),
]


@pytest.mark.parametrize(("files", "message"), FAULTS)
def test_a_faulty_file_is_named(fs: FakeFilesystem, files: dict[str, str], message: str) -> None:
    for name, contents in files.items():
        fs.create_file(f"{OWN}/r.x:5000/{name}", contents=contents)

    with pytest.raises(UsageError) as caught:
        trust()

    assert caught.value.message.startswith(f"{OWN}/r.x:5000")
    assert message in caught.value.message


def test_an_authority_of_the_command_line_that_is_none_is_named(fs: FakeFilesystem) -> None:
    with pytest.raises(UsageError, match=r"^/ca.pem: cannot be read: No such file"):
        trust(authorities=("/ca.pem",))
    fs.create_file("/ca.pem", contents="hello")
    with pytest.raises(UsageError, match=r"^/ca.pem: holds no certificate"):
        trust(authorities=("/ca.pem",))
