"""More of the corpus: streams that are cut, joined or packed to death. (name, what its error says, bytes)"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator

import zstandard

from tests.hostile.more_entries import Made
from tests.support import tars

_TAR = tars.archive(tars.file(b"a", b"x" * 5000))
_RATIO = "times its size"
_MIB = 1 << 20
_HUGE = tars.header(b"zeros", size=1 << 39)


def gzip_bomb(head: bytes, mib: int, block: bytes = bytes(_MIB)) -> bytes:
    """A gzip member of `head` and `mib` MiB of copies of `block`, made by repeating the same compressed bytes."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    deflate.compress(block[:1])  # so that what follows does not begin the stream
    deflate.flush(zlib.Z_FULL_FLUSH)
    again = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    return first + again * (mib * _MIB // len(block))


def _zstd_frame(window_log: int, *blocks: bytes) -> bytes:
    """RFC 8878 3.1.1: magic, a descriptor without anything optional, the window, blocks."""
    return b"\x28\xb5\x2f\xfd\0" + bytes([(window_log - 10) << 3]) + b"".join(blocks)


def _zstd_block(kind: int, size: int, data: bytes, last: bool = False) -> bytes:
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + data


def zstd_bomb(head: bytes, mib: int) -> bytes:
    """128 KiB of zeros for every 4 bytes: blocks of the kind that repeats one byte."""
    zeros = _zstd_block(1, 123 << 10, b"\0")
    return _zstd_frame(17, _zstd_block(0, len(head), head), zeros * (mib * 8), _zstd_block(0, 0, b"", True))


def _skippable(data: bytes) -> bytes:
    return b"\x50\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


def more_streams() -> Iterator[Made]:
    yield from _cut_and_joined()
    yield from _gzip()
    yield from _zstd()
    yield from _bombs()


def _cut_and_joined() -> Iterator[Made]:
    yield "empty", None, b""
    yield "one-byte", "ends in a header", b"\0"
    yield "zeros-only", None, bytes(10240)
    yield "one-block-of-zeros-then-entry", None, tars.file(b"a") + bytes(512) + tars.file(b"../../canary/file")
    yield "two-archives-in-a-row", None, _TAR + tars.archive(tars.file(b"../../canary/file", b"pwned"))
    yield "no-end-of-archive", None, tars.file(b"a", b"1")
    yield "cut-in-padding", "ends in the padding", tars.file(b"a", b"x" * 100)[:700]
    yield "cut-in-pax-data", "ends in a header", tars.pax({b"path": b"p" * 2000})[:1000]
    yield "cut-in-long-name", "ends in a header", tars.long_name(b"p" * 2000)[:1000]
    yield "garbage-after-the-end", None, _TAR + b"\xff" * 5000
    yield "checksum-of-spaces", "checksum", b"a".ljust(512, b" ")
    yield "ar-and-zip", "checksum|malformed", b"!<arch>\nPK\x03\x04".ljust(1024, b"\x01")


def _gzip() -> Iterator[Made]:
    packed = gzip.compress(_TAR, mtime=0)
    empty = gzip.compress(b"", mtime=0)
    yield "gzip-empty-members", None, empty * 3 + packed + empty * 2
    yield (
        "gzip-thousands-of-members",
        None,
        b"".join(gzip.compress(_TAR[at : at + 2], 1, mtime=0) for at in range(0, len(_TAR), 2)),
    )
    yield "gzip-ten-thousand-empty-members", None, empty * 10_000 + packed
    yield "gzip-garbage-after-the-last-member", None, packed + b"garbage" * 100
    yield "gzip-zeros-after-the-last-member", None, packed + bytes(4096)
    yield "gzip-half-a-magic-after-the-last-member", None, packed + b"\x1f"
    yield "gzip-second-member-cut", "gzip stream", packed[:-8] + packed[-8:] + packed[:40]
    yield "gzip-second-member-damaged", "gzip stream", packed + packed[:20] + b"\xff" * 40
    yield "gzip-wrong-size", "damaged", packed[:-4] + b"\1\2\3\4"
    yield "gzip-without-trailer", "ends too early", packed[:-8]
    yield "gzip-header-only", "ends too early", packed[:10]
    yield "gzip-with-a-name", None, packed[:3] + b"\x08" + packed[4:10] + b"../../canary/file\0" + packed[10:]
    yield "gzip-name-without-end", "ends too early", packed[:3] + b"\x08" + packed[4:10] + b"n" * 100_000
    yield "gzip-of-gzip", "ends in a header", gzip.compress(packed, mtime=0)
    yield "gzip-reserved-flags", "damaged", packed[:3] + b"\xe0" + packed[4:]
    yield "gzip-of-another-method", "damaged", packed[:2] + b"\x07" + packed[3:]
    yield "bzip2-cut", "ends too early", bz2.compress(_TAR)[:-5]
    yield "xz-cut", "ends too early", lzma.compress(_TAR)[:-5]
    yield "xz-wants-much-memory", "xz stream|memory", lzma.compress(_TAR, preset=9)[:40] + b"\xff" * 40


def _zstd() -> Iterator[Made]:
    packed = zstandard.compress(_TAR)
    raw = _zstd_block(0, len(_TAR), _TAR, True)
    yield "zstd-skippable-between-frames", None, packed + _skippable(b"s" * 100) + zstandard.compress(b"")
    yield "zstd-skippable-at-the-start", None, _skippable(b"s" * 4) + packed
    yield "zstd-skippable-at-the-end", None, packed + _skippable(b"s" * 100)
    yield "zstd-skippable-cut", "zstd stream", packed + _skippable(b"s" * 100)[:50]
    yield "zstd-window-of-128-mib", None, _zstd_frame(27, raw)
    yield "zstd-window-of-4-gib", "zstd stream", _zstd_frame(32, raw)
    yield "zstd-window-of-2-tib", "zstd stream", _zstd_frame(41, raw)
    yield "zstd-cut", "ends too early", packed[: len(packed) // 2]
    yield "zstd-second-frame-cut", "ends too early", packed + packed[:-3]
    yield "zstd-cut-in-magic", "checksum|ends", packed[:3]
    yield "zstd-reserved-block", "zstd stream", _zstd_frame(17, _zstd_block(3, 10, b"x" * 10, True))
    yield "zstd-garbage-after-the-frame", "zstd stream", packed + b"garbage" * 10
    yield "zstd-with-a-dictionary", "zstd stream", b"\x28\xb5\x2f\xfd\x01\x38\x07" + raw


def _bombs() -> Iterator[Made]:
    yield "gzip-bomb", _RATIO, gzip_bomb(_HUGE, 3 << 10)
    yield "gzip-bomb-of-letters", _RATIO, gzip_bomb(_HUGE, 3 << 10, b"a" * _MIB)
    yield "gzip-bomb-after-the-end", _RATIO, gzip_bomb(bytes(1024), 3 << 10)
    yield (
        "gzip-bomb-of-empty-headers",
        f"{_RATIO}|ends too early",  # 340 times
        gzip_bomb(b"", 3 << 10, tars.pax({b"comment": b"c" * 10}, b"g") * ((1 << 20) // 1024)),
    )
    yield "gzip-bomb-of-a-file-made-again", _RATIO, gzip_bomb(b"", 3 << 10, (tars.file(b"f", b"a" * (_MIB - 512))))
    yield "zstd-bomb", _RATIO, zstd_bomb(_HUGE, 13 << 10)
    yield "zstd-bomb-of-empty-frames", None, _zstd_frame(17, _zstd_block(0, 0, b"", True)) * 50_000
    yield "bzip2-bomb", _RATIO, bz2.compress(_HUGE) + bz2.compress(bytes(8 * _MIB)) * 128
    yield "xz-bomb", _RATIO, lzma.compress(_HUGE) + lzma.compress(bytes(8 * _MIB), preset=0) * 128
