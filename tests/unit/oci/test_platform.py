"""Platforms: what people type, and which entry of an index runs on a machine."""

from __future__ import annotations

import pytest

from builder.errors import DocumentError
from builder.oci.descriptor import Descriptor
from builder.oci.digest import sha256_of
from builder.oci.index import Index
from builder.oci.mediatypes import MANIFEST
from builder.oci.platform import Platform, host, parse_platform


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("amd64", Platform("linux", "amd64")),
        ("linux/x86_64", Platform("linux", "amd64")),
        ("aarch64", Platform("linux", "arm64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("armhf", Platform("linux", "arm", "v7")),
        ("linux/arm/v6", Platform("linux", "arm", "v6")),
        ("Linux/AMD64", Platform("linux", "amd64")),
    ],
)
def test_spellings_of_one_platform_are_equal(text: str, platform: Platform) -> None:
    assert parse_platform(text) == platform


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "linux/am d64"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        parse_platform(text)


def test_the_host_has_a_platform() -> None:
    assert host().os == "linux"
    assert host().architecture


def choose(wanted: str, *offered: str) -> str:
    entries = [
        Descriptor(MANIFEST, sha256_of(text.encode()), 1, platform=None if not text else parse_platform(text))
        for text in offered
    ]
    chosen = Index(tuple(entries)).choose(parse_platform(wanted))
    return "nothing" if chosen is None else offered[entries.index(chosen)]


def test_the_exact_platform_is_chosen_else_an_older_variant_that_runs() -> None:
    assert choose("amd64", "arm64", "amd64") == "amd64"
    assert choose("linux/arm/v7", "linux/arm/v6", "linux/arm/v7") == "linux/arm/v7"
    assert choose("linux/arm/v7", "linux/arm/v5", "linux/arm/v6") == "linux/arm/v6"
    assert choose("linux/arm/v6", "linux/arm/v7") == "nothing"
    assert choose("amd64", "linux/amd64/v3") == "nothing"
    assert choose("linux/amd64/v3", "linux/arm64", "amd64", "linux/amd64/v2") == "linux/amd64/v2"
    assert choose("linux/amd64/v1", "amd64") == "amd64"
    assert choose("amd64", "386") == "nothing"
    assert choose("arm64", "linux/arm/v7") == "nothing"
    assert choose("amd64", "arm64", "s390x") == "nothing"


def test_variants_of_arm64_are_those_of_its_architecture_reference() -> None:
    """Armv8 needs no name; Armv9.n holds what Armv8.(n+5) does, and nothing later."""
    assert choose("arm64", "linux/arm64/v8") == "linux/arm64/v8"
    assert choose("linux/arm64/8", "arm64") == "arm64"
    assert choose("linux/arm64/v9", "linux/arm64/v8.6", "linux/arm64/v8.5", "arm64") == "linux/arm64/v8.5"
    assert choose("linux/arm64/v9.1", "arm64", "linux/arm64/v9") == "linux/arm64/v9"
    assert choose("linux/arm64/v8.1", "linux/arm64/v9") == "nothing"


def test_an_entry_without_a_platform_counts_only_alone() -> None:
    assert choose("amd64", "") == ""
    assert choose("amd64", "", "arm64") == "nothing"


def test_attestations_are_never_chosen() -> None:
    entries = (
        Descriptor(MANIFEST, sha256_of(b"1"), 1, platform=Platform("unknown", "unknown")),
        Descriptor(MANIFEST, sha256_of(b"2"), 1, platform=Platform("linux", "amd64")),
    )
    assert Index(entries).choose(Platform("linux", "amd64")) is entries[1]
