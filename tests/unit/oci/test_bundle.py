"""The bundle document: one text for one value, and everything else about a bundle follows from it."""

from __future__ import annotations

import json

import pytest

from builder.errors import DocumentError
from builder.oci import mediatypes
from builder.oci.bundle import OCTETS, Bundle, CheckoutSource, FileSource, ImageSource, parse_bundle
from builder.oci.bundle_layout import artifacts, index_of
from builder.oci.descriptor import REF_NAME, Descriptor, describe
from builder.oci.index import parse_index
from builder.oci.manifest import parse_manifest
from builder.oci.platform import Platform, parse_platform

AMD64, ARM64 = parse_platform("amd64"), parse_platform("arm64")


def image(name: str, text: str, platform: Platform = AMD64, reference: str = "") -> ImageSource:
    manifest = describe(mediatypes.MANIFEST, text.encode())
    return ImageSource((name,), reference, platform, manifest, manifest, 7)


def blob(text: str) -> Descriptor:
    return describe(OCTETS, text.encode())


FULL = Bundle(
    images=(image("b:1", "m", reference="docker.io/library/b:1"), image("a", "n")),
    files=(FileSource("https://x/f", 12, blob("f")), FileSource("https://x/e", None, blob("e"))),
    checkouts=(
        CheckoutSource("https://x/r.git", "v1", "d", True, True, False, "a" * 40, "refs/tags/v1", 5, blob("r")),
    ),
    blobs=((blob("f").digest, 1), (blob("e").digest, 1)),
    elsewhere=((blob("r").digest, 1),),
    base=blob("old").digest,
)


def test_a_document_is_read_as_it_was_written() -> None:
    assert parse_bundle(FULL.sorted().encode()) == FULL.sorted()


def test_quotes_and_backslashes_are_names_too() -> None:
    odd = Bundle(files=(FileSource('https://x/"a\\n"é', 0, blob("f")),))
    assert parse_bundle(odd.encode()) == odd


def test_the_order_of_finding_does_not_show() -> None:
    turned = FULL._replace(images=FULL.images[::-1], files=FULL.files[::-1] * 2, blobs=FULL.blobs[::-1])
    assert turned.sorted().encode() == FULL.sorted().encode()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"version":1', '"version":2', "a bundle of version 2, known is 1"),
        ('"version":1', '"version":"1"', "a bundle of version '1'"),
        ('"version":1', '"version":1,"more":1', "not in the form"),
        ('"version":1', '"version":1,"version":1', "given twice"),
        ('"version":1', '"version":1,"Base":""', "not in the form|differs from a known name"),
        ('"url":"https://x/f"', '"url":""', "url is missing"),
        ('"time":"12"', '"time":"-1"', "time is not"),
        ('"commit":"a', '"commit":"-', "commit is not a commit"),
        ('"platform":{"architecture"', '"platform":{"xrchitecture"', "architecture is missing"),
        ('"elsewhere":{"sha256:', '"elsewhere":{"md5:', "md5"),
        ("\n", "", "not in the form"),
        ('"ref":"v1"', '"ref":"v\\u001b1"', "control characters"),
        ('"ref":"v1"', '"ref":"v\x9b1"', "control characters"),
        ('"ref":"v1"', '"ref":"\\n1"', "control characters"),
    ],
)
def test_what_another_has_written_is_refused(old: str, new: str, said: str) -> None:
    raw = FULL.sorted().encode().decode()
    assert old in raw
    with pytest.raises(DocumentError, match=said):
        parse_bundle(raw.replace(old, new, 1).encode())


def test_the_index_names_images_and_says_what_the_others_are() -> None:
    entries = parse_index(index_of(FULL.sorted())).manifests
    assert [entry.annotation(REF_NAME) for entry in entries] == ["", "a", "docker.io/library/b:1", "", "", ""]
    kinds = [entry.artifact_type.rpartition("rbuild.")[2] for entry in entries if entry.artifact_type]
    assert kinds == ["bundle.v1+json", "file.v1", "file.v1", "checkout.v1"]


def test_a_name_that_is_two_images_is_told_apart_by_platform() -> None:
    two = Bundle(images=(image("base", "m"), image("base", "n", ARM64)))
    names = [entry.annotation(REF_NAME) for entry in parse_index(index_of(two.sorted())).manifests[1:]]
    assert sorted(names) == ["base-linux-amd64", "base-linux-arm64"]


def test_what_no_ref_name_may_be_is_not_named() -> None:
    assert len(parse_index(index_of(Bundle(images=(image("my base", "m"),)))).manifests) == 1


def test_artifacts_are_annotated_for_other_tools() -> None:
    made = [parse_manifest(raw) for raw in artifacts(FULL).values()]
    notes = [dict(manifest.annotations) for manifest in made]
    assert notes[0]["org.opencontainers.image.source"] == "https://x/f"
    assert notes[0]["rbuild.sha256"] == blob("f").digest[7:]
    assert notes[2]["org.opencontainers.image.revision"] == "a" * 40
    assert all(manifest.config.media_type == mediatypes.EMPTY for manifest in made)
    assert json.loads(made[0].raw)["artifactType"] == "application/vnd.rbuild.file.v1"
