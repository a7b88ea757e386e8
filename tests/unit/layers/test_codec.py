"""Codecs of layers: what any reader reads, the same bytes however they are made."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import subprocess

import pytest
import zstandard

from builder.errors import ArchiveError
from builder.layers.codec import Compression, compressor, decompressed, sniff
from tests.support.tools import need_tool

NOISE = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(20_000))
PLAIN = {"empty": b"", "short": b"abc", "block": bytes(1 << 20), "long": NOISE * 8 + bytes(1 << 21) + b"end"}


def squeeze(data: bytes, compression: Compression, *, threads: int = 2, piece: int = 1 << 20) -> bytes:
    codec = compressor(compression, threads=threads)
    try:
        parts = [codec.compress(data[at : at + piece]) for at in range(0, len(data), piece)]
        return b"".join(parts) + codec.finish()
    finally:
        codec.close()


def expand(data: bytes, *, piece: int = 1 << 18) -> bytes:
    reader = decompressed(io.BytesIO(data[10:]), data[:10], sniff(data[:10]))
    return b"".join(iter(lambda: reader.read(piece), b""))


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("plain", PLAIN)
def test_what_goes_in_comes_out(plain: str, compression: Compression) -> None:
    """By our own reader."""
    assert expand(squeeze(PLAIN[plain], compression)) == PLAIN[plain]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("plain", PLAIN)
def test_bytes_depend_on_neither_threads_nor_pieces(plain: str, compression: Compression) -> None:
    """B5, D3: a layer's digest is the same on a laptop and on a large machine."""
    made = {
        squeeze(PLAIN[plain], compression, threads=t, piece=p) for t, p in [(1, 1 << 20), (4, 99_991), (9, 1 << 22)]
    }

    assert len(made) == 1


def test_gzip_is_read_by_others_and_names_nothing() -> None:
    """RFC 1952: no name, no time, unknown system."""
    data = squeeze(PLAIN["long"], "gzip")

    assert data[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    assert gzip.decompress(data) == PLAIN["long"]
    assert subprocess.run([need_tool("gzip"), "-dc"], input=data, stdout=-1, check=True).stdout == PLAIN["long"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_members_in_a_row_are_one_stream(pack: object) -> None:
    """As pigz, pbzip2, pixz and pzstd write them."""
    assert callable(pack)
    assert expand(pack(NOISE) + pack(b"") + pack(b"end")) == NOISE + b"end"


def test_what_follows_the_last_member_is_ignored() -> None:
    """Padding of tapes and pipes."""
    assert expand(gzip.compress(b"abc") + bytes(1000)) == b"abc"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_cut_or_damaged_stream_is_an_error(pack: object) -> None:
    """Never a shorter layer."""
    assert callable(pack)
    whole = pack(NOISE)

    for bad in (whole[:-1], whole[:1000], whole[:20] + bytes(100) + whole[120:]):
        with pytest.raises(ArchiveError, match="stream"):
            expand(bad)


def test_reading_a_bomb_takes_little_memory() -> None:
    """K14: a piece read is at most a MiB, however many zeros are packed in the input."""
    reader = decompressed(io.BytesIO(bz2.compress(bytes(64 << 20))), b"", "bzip2")

    assert max(len(piece) for piece in iter(lambda: reader.read(1 << 16), b"")) <= 1 << 20


def test_sniff() -> None:
    """By magic number alone."""
    assert [sniff(data) for data in (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"BZh9", b"\xfd7zXZ\0", b"ustar", b"")] == [
        *("gzip", "zstd", "bzip2", "xz", None, None),
    ]
