"""Which document an annotation goes to."""

from __future__ import annotations

import pytest

from builder.errors import DocumentError, UsageError
from builder.oci.annotations import Annotations
from builder.oci.platform import Platform

ARM = Platform("linux", "arm64")


def test_without_a_level_it_is_the_manifests_and_the_last_of_a_key_counts() -> None:
    found = Annotations([("b", "1"), ("a:x", "2"), ("b", "3")])
    assert found.of("manifest") == (("a:x", "2"), ("b", "3"))
    assert found.of("index") == ()


def test_several_levels_at_once() -> None:
    found = Annotations([("index,manifest-descriptor:k", "v")])
    assert found.of("index") == found.of("manifest-descriptor") == (("k", "v"),)
    assert found.of("manifest") == ()


def test_a_level_for_one_platform() -> None:
    found = Annotations([("manifest[linux/arm64]:k", "v")])
    assert found.of("manifest", ARM) == (("k", "v"),)
    assert found.of("manifest", Platform("linux", "amd64")) == ()


def test_wrong_levels_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown level 'indexx'"):
        Annotations([("manifest,indexx:k", "v")])
    with pytest.raises(DocumentError, match="not a platform"):
        Annotations([("manifest[a/b/c/d]:k", "v")])
