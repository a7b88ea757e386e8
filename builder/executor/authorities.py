"""The authorities of --build-ca, which every RUN trusts: PEM files → certificates → our text in a bundle.

    \\n# rbuild --build-ca 0123456789abcdef: trusted for this step, no part of the image
    -----BEGIN CERTIFICATE-----  …
    # rbuild --build-ca 0123456789abcdef: end

What readers of bundles take no notice of tells our text from the same certificate in an image.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
from typing import TYPE_CHECKING, NoReturn

from builder.errors import UsageError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LIMIT = 4 << 20  # bytes of one PEM file; the bundle of Mozilla has a quarter of one MiB
HEAD = 255  # bytes of a certificate by which it is known again: serial number and issuer; 340 letters in PEM

_ARMOURED = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE")
_IN_PEM = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([A-Za-z0-9+/=\s]*)")
# SEQUENCE { SEQUENCE { [0] version: every certificate since X.509 version 3 begins so (RFC 5280, 4.1).
_IN_DER = re.compile(rb"\x30\x82[\s\S]{2}\x30\x82[\s\S]{2}\xa0\x03\x02\x01\x02")


class Authorities(NamedTuple):
    """`certificates` are DER, in the order given, each once."""

    certificates: tuple[bytes, ...]

    @property
    def token(self) -> bytes:
        """What our text has and no other."""
        return b"rbuild --build-ca " + hashlib.sha256(b"".join(self.certificates)).hexdigest()[:16].encode()

    def block(self) -> bytes:
        """To be appended to any bundle, whether or not it ends with a newline."""
        first = b"\n# " + self.token + b": trusted for this step, no part of the image\n"
        return first + b"".join(map(_pem, self.certificates)) + b"# " + self.token + b": end\n"

    def heads(self) -> frozenset[bytes]:
        return frozenset(der[:HEAD] for der in self.certificates)


def read(paths: Sequence[str]) -> Authorities:
    """The certificates of PEM files. Raises UsageError, which names the file, for any that cannot be right."""
    found = (der for path in paths for der in _certificates(path, _content(path)))
    return Authorities(tuple(dict.fromkeys(found)))


def heads_in(content: bytes) -> set[bytes]:
    """By their heads: the certificates that stand in `content`, as PEM or DER."""
    found = {content[match.start() : match.start() + HEAD] for match in _IN_DER.finditer(content)}
    return found | set(filter(None, _pem_heads(content)))


def _pem_heads(content: bytes) -> Iterable[bytes]:
    for match in _IN_PEM.finditer(content):
        letters = b"".join(match[1][:1024].split())[: HEAD // 3 * 4]
        try:
            yield base64.b64decode(letters[: len(letters) // 4 * 4], validate=True)
        except binascii.Error:
            continue


def _content(path: str) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            _refuse(path, "is no regular file")
        with open(path, "rb") as file:
            content = file.read(LIMIT + 1)
    except OSError as error:
        _refuse(path, os.strerror(error.errno or 0))
    if len(content) > LIMIT:
        _refuse(path, f"is larger than {LIMIT >> 20} MiB")
    return content


def _certificates(path: str, content: bytes) -> list[bytes]:
    blocks = _ARMOURED.findall(content)
    if any(b"PRIVATE KEY" in kind for kind, _ in blocks):
        _refuse(path, "holds a private key", "give the certificate of the authority alone")
    found = [_der(path, text) for kind, text in blocks if kind in _CERTIFICATES]
    if content.count(b"-----BEGIN ") != len(blocks):
        _refuse(path, "a PEM block has no end", "the file may be cut short")
    if not found:
        hint = "openssl x509 -inform der -in FILE -out ca.pem" if content[:1] == b"\x30" else None
        _refuse(path, "holds no PEM certificate", hint)
    return found


def _der(path: str, text: bytes) -> bytes:
    import ssl

    try:
        der = base64.b64decode(b"".join(text.split()), validate=True)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=der)
    except (ValueError, ssl.SSLError):
        _refuse(path, "a certificate in it is damaged")
    return der


def _refuse(path: str, reason: str, hint: str | None = None) -> NoReturn:
    raise UsageError(f"--build-ca {path}: {reason}", hint=hint or "it takes a file of PEM certificates")


def _pem(der: bytes) -> bytes:
    text = base64.b64encode(der)
    lines = b"\n".join(text[at : at + 64] for at in range(0, len(text), 64))
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"\n-----END CERTIFICATE-----\n"
