"""Digests name files in the store, so nothing but a digest may pass for one."""

from __future__ import annotations

import pytest

from builder.errors import DocumentError
from builder.oci.digest import EMPTY, hex_of, parse_digest, sha256_of

GOOD = "sha256:" + "0a" * 32


def test_a_digest_is_returned_unchanged() -> None:
    assert parse_digest(GOOD) == GOOD
    assert hex_of(GOOD) == "0a" * 32
    assert sha256_of(b"") == EMPTY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "0a" * 32,
        "sha256:../../etc/passwd",
        "sha256:" + "0a" * 31 + "/.",
        "sha256:" + "0A" * 32,
        "SHA256:" + "0a" * 32,
        GOOD + "\n",
        "\n" + GOOD,
        GOOD + "0",
        GOOD[:-1],
        "sha256:" + "٠" * 64,
        " " + GOOD,
        GOOD + "/../x",
        "sha256+b64:" + "0a" * 32,
        "md5:" + "0a" * 16,
        None,
        7,
        ["sha256"],
    ],
)
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(DocumentError):
        parse_digest(text)


def test_another_algorithm_is_refused_by_name() -> None:
    with pytest.raises(DocumentError, match="sha512"):
        parse_digest("sha512:" + "0a" * 64)
