"""Where an OCI layout is, as --build-context and `rbuild copy` write it."""

from __future__ import annotations

import pytest

from builder.sources.oci_layout import split_place


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b", ("a/b", "")),
        ("a/b:1", ("a/b", "1")),
        ("a:b/c", ("a:b/c", "")),
        ("a:b/c:1", ("a:b/c", "1")),
        ("a/b@sha256:0", ("a/b", "sha256:0")),
        ("a/b:1@sha256:0", ("a/b", "sha256:0")),
    ],
)
def test_path_and_tag_or_digest(text: str, expected: tuple[str, str]) -> None:
    assert split_place(text) == expected
