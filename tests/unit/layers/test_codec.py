"""Codecs of layers: what any reader reads, the same bytes however they are made."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import subprocess
import zlib
from collections import deque

import pytest
import zstandard

from builder.errors import ArchiveError
from builder.layers.codec import Compression, decompressed, sniff
from builder.layers.compress import Member, Workers, press
from tests.support.tools import need_tool

NOISE = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(20_000))
PLAIN = {"empty": b"", "short": b"abc", "block": bytes(1 << 20), "long": NOISE * 8 + bytes(1 << 21) + b"end"}


def squeeze(data: bytes, compression: Compression, *, threads: int = 2) -> bytes:
    make = press(compression)
    pieces = [data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20)] or [b""]
    if make is None:
        return data
    with Workers(threads) as workers:
        taken = deque[Member]()
        parts = []
        for piece in pieces:
            if len(taken) == workers.most:
                parts.append(taken.popleft().take())
            taken.append(workers.submit(make, piece))
        return b"".join([*parts, *(member.take() for member in taken)])


def expand(data: bytes, *, piece: int = 1 << 18) -> bytes:
    reader = decompressed(io.BytesIO(data[10:]), data[:10], sniff(data[:10]))
    return b"".join(iter(lambda: reader.read(piece), b""))


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("plain", PLAIN)
def test_what_goes_in_comes_out(plain: str, compression: Compression) -> None:
    """By our own reader."""
    assert expand(squeeze(PLAIN[plain], compression)) == PLAIN[plain]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_bytes_are_the_same_at_any_number_of_threads(compression: Compression) -> None:
    """B-T6 (B5, D3): a layer's digest is the same on a laptop and on a large machine."""
    assert len({squeeze(PLAIN["long"], compression, threads=threads) for threads in (1, 2, 4, 8, 16)}) == 1


def test_a_gzip_layer_is_members_that_others_read_and_that_name_nothing() -> None:
    """RFC 1952: no name, no time, unknown system; a MiB in each."""
    data = squeeze(PLAIN["long"], "gzip")

    assert _gzip_sizes(data) == [1 << 20] * 6 + [len(PLAIN["long"]) - (6 << 20)]
    assert gzip.decompress(data) == PLAIN["long"]
    assert subprocess.run([need_tool("gzip"), "-dc"], input=data, stdout=-1, check=True).stdout == PLAIN["long"]


def _gzip_sizes(data: bytes) -> list[int]:
    """What each member unpacks to."""
    sizes = []
    while data:
        assert (data[:8], data[9:10]) == (b"\x1f\x8b\x08\0\0\0\0\0", b"\xff")
        member = zlib.decompressobj(31)
        sizes.append(len(member.decompress(data)))
        data = member.unused_data
    return sizes


def test_a_zstd_layer_is_frames_that_others_read() -> None:
    """RFC 8878: each tells the size that it unpacks to."""
    data = squeeze(PLAIN["long"], "zstd")

    assert zstandard.frame_content_size(data) == 1 << 20
    assert subprocess.run([need_tool("zstd"), "-dc"], input=data, stdout=-1, check=True).stdout == PLAIN["long"]


def test_an_empty_layer_stays_small() -> None:
    """1024 zeros."""
    assert len(squeeze(bytes(1024), "gzip")) < 40
    assert len(squeeze(bytes(1024), "zstd")) < 40


@pytest.mark.parametrize(("compression", "levels"), [("gzip", range(1, 13)), ("zstd", range(1, 23))])
def test_each_level_makes_what_is_read_again(compression: Compression, levels: range) -> None:
    """From fast to small."""
    plain = (NOISE[:1000] + b"text " * 400) * 30
    made = [(press(compression, level) or bytes)(plain) for level in levels]

    assert all(expand(data) == plain for data in made)
    assert len(made[0]) > len(made[-1])


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
