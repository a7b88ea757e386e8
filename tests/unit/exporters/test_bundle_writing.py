"""Bundles on their way out: whole or not there."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from builder.errors import BuildError, ExportError, StoreError
from builder.exporters.bundle import Piece, write_bundle
from builder.oci.digest import sha256_of

GOOD = {sha256_of(b"one"): Piece(3, "", b"one")}


@pytest.mark.parametrize("dest", ["out.tar", "out"])
@pytest.mark.parametrize(
    "piece", [Piece(3, "", b"two"), Piece(4, "", b"one"), Piece(2, "", b"one"), Piece(3, "/nonexistent/blob")]
)
def test_a_blob_that_is_another_leaves_nothing(tmp_path: Path, dest: str, piece: Piece) -> None:
    with pytest.raises(StoreError, match="was to be|cannot read /nonexistent/blob"):
        write_bundle(str(tmp_path / dest), b"{}", {sha256_of(b"one"): piece}, io.BytesIO())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dest", ["out.tar", "out"])
def test_a_place_that_cannot_be_written(tmp_path: Path, dest: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError):
        write_bundle(str(tmp_path / "file" / dest), b"{}", GOOD, io.BytesIO())


def test_an_empty_directory_is_filled_and_another_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.mkdir()
    write_bundle(str(place), b"{}", GOOD, io.BytesIO())
    assert sorted(path.name for path in place.iterdir()) == ["blobs", "index.json", "oci-layout"]
    with pytest.raises(BuildError, match="not empty"):
        write_bundle(str(place), b"{}", GOOD, io.BytesIO())
