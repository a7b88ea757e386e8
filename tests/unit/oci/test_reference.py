"""Names of images as Docker reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import DocumentError
from builder.oci.reference import parse_reference

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("golang", "docker.io/library/golang", "golang"),
        ("golang:1.21-alpine", "docker.io/library/golang:1.21-alpine", "golang:1.21-alpine"),
        ("user/app", "docker.io/user/app", "user/app"),
        ("docker.io/golang", "docker.io/library/golang", "golang"),
        ("index.docker.io/library/golang:1", "docker.io/library/golang:1", "golang:1"),
        ("library/golang", "docker.io/library/golang", "golang"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("quay.io/a/b/c:d", "quay.io/a/b/c:d", "quay.io/a/b/c:d"),
        ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
        ("Registry/x", "Registry/x", "Registry/x"),
        (f"golang@{DIGEST}", f"docker.io/library/golang@{DIGEST}", f"golang@{DIGEST}"),
        (f"golang:1@{DIGEST}", f"docker.io/library/golang:1@{DIGEST}", f"golang:1@{DIGEST}"),
        ("a--b__c/d.e", "docker.io/a--b__c/d.e", "a--b__c/d.e"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
    ],
)
def test_short_names_expand_and_shorten_again(text: str, full: str, familiar: str) -> None:
    reference = parse_reference(text)

    assert (str(reference), reference.familiar()) == (full, familiar)
    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.familiar()) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":tag",
        "Golang",
        "golang:",
        "golang:-x",
        "golang:" + "x" * 129,
        "golang@",
        "golang@sha256:1",
        "a//b",
        "/a",
        "a/",
        "a___b",
        "a..b/c/..",
        "../x",
        "local host/x",
        "quay.io:65536/x",
        "[::1]:0/x",
        "quay.io:4294967376/x",
        "-x.io/a",
        "a" * 256,
        "0a" * 32,
        "golang:1\n",
        "héllo",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(DocumentError):
        parse_reference(text)


def test_latest_is_added_only_where_nothing_else_is_said() -> None:
    assert str(parse_reference("a").or_latest()) == "docker.io/library/a:latest"
    assert str(parse_reference("a:b").or_latest()) == "docker.io/library/a:b"
    assert str(parse_reference(f"a@{DIGEST}").or_latest()) == f"docker.io/library/a@{DIGEST}"


@given(st.text(max_size=40))
def test_any_text_is_a_name_that_survives_or_a_document_error(text: str) -> None:
    try:
        reference = parse_reference(text)
    except DocumentError:
        return
    assert parse_reference(str(reference)) == reference
    assert ".." not in str(reference).split("/")
