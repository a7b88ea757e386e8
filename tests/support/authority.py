"""A certificate authority of the tests' own, made by openssl when the tests start: nobody else trusts it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.support.tools import need_tool

# Python 3.13 verifies strictly: an authority without keyUsage and identifiers is none.
_AUTHORITY = """\
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
"""
_LEAF = """\
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""
LOOPBACK = "IP:127.0.0.1,IP:::1,DNS:localhost"


class Pair(NamedTuple):
    """PEM files."""

    certificate: Path
    key: Path


class Authority:
    """`certificate` is the PEM file to trust. `issue` makes certificates of it."""

    def __init__(self, directory: Path, name: str = "tests of rbuild") -> None:
        need_tool("openssl")
        self._directory = directory
        own = self._request("authority", name)
        self._sign("authority", _AUTHORITY, "-signkey", own.key)
        self._own = own
        self.certificate = own.certificate

    def issue(self, name: str, names: str = LOOPBACK, days: int = 2) -> Pair:
        """A certificate for servers and clients; `names` as openssl writes subjectAltName, or "" for none."""
        pair = self._request(name, name)
        extensions = _LEAF + (f"subjectAltName={names}\n" if names else "")
        self._sign(
            name, extensions, "-CA", self._own.certificate, "-CAkey", self._own.key, "-CAcreateserial", days=days
        )
        return pair

    def _request(self, file: str, name: str) -> Pair:
        pair = Pair(self._directory / f"{file}.crt", self._directory / f"{file}.key")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        _openssl("req", "-new", *curve, "-subj", f"/CN={name}", "-keyout", pair.key, "-out", self._file(file, "csr"))
        return pair

    def _sign(self, file: str, extensions: str, *by: str | Path, days: int = 2) -> None:
        self._file(file, "ext").write_text(extensions)
        files = ("-in", self._file(file, "csr"), "-out", self._file(file, "crt"), "-extfile", self._file(file, "ext"))
        _openssl("x509", "-req", "-days", str(days), *files, *by)

    def _file(self, file: str, kind: str) -> Path:
        return self._directory / f"{file}.{kind}"


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
