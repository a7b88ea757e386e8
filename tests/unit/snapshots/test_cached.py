"""The text of cached steps: what is written is read again, and nothing else."""

from __future__ import annotations

import pytest

from builder.errors import DocumentError
from builder.oci import mediatypes
from builder.oci.assemble import Layer
from builder.oci.descriptor import describe
from builder.oci.digest import sha256_of
from builder.snapshots.cached import CachedStep, parse_steps, steps_text
from builder.snapshots.convert import Packing

LAYER = Layer(describe(mediatypes.LAYER_GZIP, b"layer"), sha256_of(b"tar"))
STEPS = (
    CachedStep("a" * 64, None, Packing(12, "gzip"), LAYER),
    CachedStep("b" * 64, (), Packing(0, "none"), LAYER),
    CachedStep("c" * 64, ("one", "two"), Packing(12, "zstd"), LAYER),
)


def test_steps_are_read_as_they_were_written() -> None:
    assert parse_steps(steps_text(STEPS)) == STEPS


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"version":1', '"version":2', "another version"),
        ('"version":1', '"version":1,"more":1', "more in it"),
        ("a" * 64, "../" * 21 + "a", "key is not"),
        ('"compression":"gzip"', '"compression":"lzma"', "compression is not one of"),
        ('"layer"', '"liyer"', "layer is missing"),
        ('"diffId":"sha256:', '"diffId":"sha512:', "sha512"),
        ('"epoch":12', '"epoch":-1', "epoch is not"),
    ],
)
def test_what_is_not_understood_is_refused(old: str, new: str, said: str) -> None:
    raw = steps_text(STEPS).decode()
    assert old in raw
    with pytest.raises(DocumentError, match=said):
        parse_steps(raw.replace(old, new, 1).encode())
