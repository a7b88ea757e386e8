"""The flattened root file system, streamed: the failure that is told is the one that came first."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import pytest

from builder.errors import ExportError
from builder.exporters.exporter import StoredImage
from builder.exporters.rootfs import LocalExporter, TarExporter

BYTES = b"0123456789abcdef" * 100_000


def write(out: BinaryIO) -> None:
    for start in range(0, len(BYTES), 4096):
        out.write(BYTES[start : start + 4096])


def write_half(out: BinaryIO) -> None:
    out.write(BYTES[:5000])
    raise ZeroDivisionError


def save(stream: BinaryIO, dest: str) -> None:
    Path(dest, "all").write_bytes(stream.read())


def test_a_tar_goes_to_a_file_or_to_standard_output(image: StoredImage, tmp_path: Path) -> None:
    out = io.BytesIO()
    TarExporter(str(tmp_path / "r.tar"), write).export(image, out)
    assert out.getvalue() == b""
    TarExporter("-", write).export(image, out)
    assert out.getvalue() == (tmp_path / "r.tar").read_bytes()


def test_half_a_tar_is_no_tar(image: StoredImage, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        TarExporter(str(tmp_path / "r.tar"), write_half).export(image, io.BytesIO())
    assert not (tmp_path / "r.tar").exists()


def test_a_directory_gets_what_the_unpacker_makes_of_the_stream(image: StoredImage, tmp_path: Path) -> None:
    LocalExporter(str(tmp_path / "a" / "b"), write, save).export(image, io.BytesIO())
    assert (tmp_path / "a" / "b" / "all").read_bytes() == BYTES


def test_an_unpacker_that_stops_early_is_success(image: StoredImage, tmp_path: Path) -> None:
    LocalExporter(str(tmp_path), write, lambda stream, _: stream.read(10)).export(image, io.BytesIO())


def test_the_writers_failure_is_told_and_not_the_unpackers(image: StoredImage, tmp_path: Path) -> None:
    def sudden_end(stream: BinaryIO, dest: str) -> None:
        if len(stream.read()) < len(BYTES):
            raise EOFError

    with pytest.raises(ZeroDivisionError):
        LocalExporter(str(tmp_path), write_half, sudden_end).export(image, io.BytesIO())
    with pytest.raises(ZeroDivisionError):
        LocalExporter(str(tmp_path), write_half, save).export(image, io.BytesIO())


def test_the_unpackers_failure_is_told_and_stops_the_writer(image: StoredImage, tmp_path: Path) -> None:
    def refuse(stream: BinaryIO, dest: str) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        LocalExporter(str(tmp_path), write, refuse).export(image, io.BytesIO())


def test_a_file_in_the_place_of_the_directory_is_an_export_error(image: StoredImage, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(ExportError):
        LocalExporter(str(tmp_path / "f"), write, save).export(image, io.BytesIO())
