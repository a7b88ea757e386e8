"""Archives that try to write outside of where they are unpacked, or to take the reader down (K7, K8, K14).

Each is a name, the archive, and what its error must say; an archive without an error is harmless: what is unpacked is
inside of its root. Run as a script to write the corpus to a directory, for other readers to chew on, with an
INDEX that says what must happen:

    PYTHONPATH=. python tests/hostile/corpus.py DIR
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
from typing import NamedTuple

from builder.layers.codec import sniff
from tests.hostile.more_entries import more_entries
from tests.hostile.more_streams import more_streams
from tests.support import tars

_PWNED = b"pwned\n"
# Where the canary lives, seen from the root that the archive is unpacked in: <top>/tree/diff beside <top>/canary.
CANARY = b"../../canary/file"


class Hostile(NamedTuple):
    name: str
    tar: bytes
    error: str | None


def _evil(name: bytes) -> bytes:
    return tars.file(name, _PWNED)


def _up(depth: int) -> bytes:
    return b"../" * depth


def _path_max_chain() -> bytes:
    """K8, CVE-2025-4517: symlinks whose expansion outgrows PATH_MAX, where a resolver in user space gives up."""
    parts, step, at = [], b"d" * 247, b""
    for letter in b"abcdefghijklmnop":
        name = bytes([letter])
        parts.append(tars.pax({b"path": at + step + b"/"}) + tars.directory(b"x/"))
        parts.append(tars.pax({b"path": at + name}) + tars.symlink(b"x", b"", link=step[:100]))
        parts[-1] = tars.pax({b"path": at + name, b"linkpath": step}) + tars.symlink(b"x", b"x")
        at += step + b"/"
        if len(at) > 3500:
            break
    short = b"/".join(bytes([letter]) for letter in b"abcdefghijklmn")
    parts.append(tars.pax({b"path": short + b"/" + b"l" * 254, b"linkpath": _up(14)}) + tars.symlink(b"x", b"x"))
    parts.append(tars.pax({b"linkpath": short + b"/" + b"l" * 254 + b"/" + CANARY}) + tars.symlink(b"escape", b"x"))
    parts.append(tars.hardlink(b"flaglink", b"escape"))
    parts.append(_evil(b"flaglink"))
    parts.append(_evil(b"escape/deeper"))
    return tars.archive(*parts)


def _with_checksum_broken() -> bytes:
    block = bytearray(_evil(b"a"))
    block[0] ^= 1
    return bytes(block) + b"\0" * 1024


def _tarfile_sparse() -> bytes:
    return tars.header(b"sparse", kind=b"S", size=0, magic=b"ustar  \0")


def corpus() -> list[Hostile]:
    climb = "climbs out"
    link_out = tars.symlink(b"out", b"../../canary")
    link_abs = tars.symlink(b"abs", b"/")
    pieces: list[tuple[str, str | None, tuple[bytes, ...]]] = [
        ("dotdot", climb, (_evil(CANARY),)),
        ("dotdot-deep", climb, (tars.directory(b"a/"), _evil(b"a/b/../../../../canary/file"))),
        ("dotdot-directory", climb, (tars.directory(b"../../canary/new/"),)),
        ("dotdot-in-pax", climb, (tars.pax({b"path": CANARY}) + _evil(b"fine"),)),
        ("dotdot-in-long-name", climb, (tars.long_name(CANARY) + _evil(b"fine"),)),
        ("dotdot-in-prefix", climb, (tars.file(b"file", _PWNED, prefix=b"../../canary"),)),
        ("dotdot-after-slashes", climb, (_evil(b"////../../canary/file"),)),
        ("dotdot-trailing", climb, (tars.directory(b".."),)),
        ("absolute", None, (_evil(b"/tmp/rbuild-absolute-canary"),)),
        ("double-slash", None, (_evil(b"//a//b///c"),)),
        ("symlink-then-file", "out/file", (link_out, _evil(b"out/file"))),
        ("symlink-then-directory", "out/new", (link_out, tars.directory(b"out/new/"))),
        ("symlink-then-symlink", "out/new", (link_out, tars.symlink(b"out/new", b"x"))),
        ("symlink-then-whiteout", None, (link_out, tars.file(b"out/.wh.file"))),
        ("symlink-then-opaque", None, (link_out, tars.file(b"out/.wh..wh..opq"))),
        ("symlink-then-fifo", "out/f", (link_out, tars.header(b"out/f", kind=b"6"))),
        ("symlink-then-device", "out/d", (link_out, tars.header(b"out/d", kind=b"3", device=(1, 3)))),
        ("symlink-replaced-by-file", None, (tars.symlink(b"f", CANARY), _evil(b"f"))),
        ("symlink-to-root", None, (link_abs, _evil(b"abs/inside"), tars.directory(b"abs/etc/"))),
        (
            "symlink-chain",
            "c/file",
            (
                tars.symlink(b"a", b".."),
                tars.symlink(b"b", b"a/.."),
                tars.symlink(b"c", b"b/canary"),
                _evil(b"c/file"),
            ),
        ),
        ("symlink-loop", "loop/x", (tars.symlink(b"loop", b"loop"), _evil(b"loop/x"))),
        ("symlink-to-proc", "p/x", (tars.symlink(b"p", b"/proc/self/root/tmp"), _evil(b"p/x"))),
        ("symlink-without-target", "without a target", (tars.symlink(b"s", b""),)),
        ("directory-over-symlink", None, (link_out, tars.directory(b"out/", mode=0o777), _evil(b"out/file"))),
        (
            "symlink-over-directory",
            "d/file",
            (
                tars.directory(b"d/"),
                tars.file(b"d/old"),
                tars.symlink(b"d", b"../../canary"),
                _evil(b"d/file"),
            ),
        ),
        ("hardlink-dotdot", climb, (tars.hardlink(b"h", CANARY), _evil(b"h"))),
        ("hardlink-absolute", "not there", (tars.hardlink(b"h", b"/etc/passwd"),)),
        ("hardlink-through-symlink", "not there", (link_out, tars.hardlink(b"h", b"out/file"))),
        (
            "hardlink-to-symlink-then-write",
            None,
            (
                tars.symlink(b"s", CANARY),
                tars.hardlink(b"h", b"s"),
                _evil(b"h"),
            ),
        ),
        ("hardlink-to-directory", "a directory", (tars.directory(b"d/"), tars.hardlink(b"h", b"d"))),
        ("hardlink-to-root", "not there", (tars.hardlink(b"h", b"."),)),
        ("hardlink-to-missing", "not there", (tars.hardlink(b"h", b"nothing"),)),
        ("hardlink-to-whiteout", "not there", (tars.file(b".wh.x"), tars.hardlink(b"h", b"x"))),
        ("hardlink-to-itself", None, (tars.file(b"h", b"kept"), tars.hardlink(b"h", b"h"))),
        ("root-is-a-symlink", "only be a directory", (tars.symlink(b".", b"../../canary"), _evil(b"file"))),
        ("root-is-a-symlink-slash", "only be a directory", (tars.symlink(b"/", b"../../canary"),)),
        ("root-is-a-file", "only be a directory", (_evil(b"./"[:1]),)),
        ("root-is-a-hardlink", "only be a directory", (tars.file(b"f"), tars.hardlink(b"./", b"f"))),
        ("root-is-a-device", "only be a directory", (tars.header(b"./.", kind=b"3", device=(1, 3)),)),
        ("empty-name", "only be a directory", (_evil(b""),)),
        ("parent-is-a-file", "f/x", (tars.file(b"f"), _evil(b"f/x"))),
        ("parent-is-a-fifo", "f/x", (tars.header(b"f", kind=b"6"), _evil(b"f/x"))),
        ("whiteout-of-dot", "whiteout of no file", (tars.file(b".wh.."),)),
        ("whiteout-of-dotdot", "whiteout of no file", (tars.directory(b"d/"), tars.file(b"d/.wh..."))),
        ("whiteout-of-nothing", "whiteout of no file", (tars.file(b".wh."),)),
        ("whiteout-with-children", "something below", (_evil(b".wh.d/x"),)),
        ("whiteout-of-symlink", None, (link_out, tars.file(b".wh.out"))),
        ("whiteout-device", "0:0", (tars.header(b"w", kind=b"3", device=(0, 0)),)),
        ("nul-in-pax-path", "NUL", (tars.pax({b"path": b"a\0/../../canary/file"}) + _evil(b"x"),)),
        ("name-too-long", "too long", (tars.pax({b"path": b"n" * 256}) + _evil(b"x"),)),
        ("path-too-long", "too long", (tars.pax({b"path": b"/".join([b"n" * 200] * 21)}) + _evil(b"x"),)),
        ("too-deep", "too long", (tars.pax({b"path": b"d/" * 2048 + b"f"}) + _evil(b"x"),)),
        (
            "pax-size-lies",
            "malformed PAX",
            (tars.header(b"p", kind=b"x", size=12) + tars.padded(b"99 path=abc\n") + _evil(b"x"),),
        ),
        ("pax-size-zero", "malformed PAX", (tars.header(b"p", kind=b"x", size=9) + tars.padded(b"0 path=a\n"),)),
        ("pax-without-equals", "malformed PAX", (tars.header(b"p", kind=b"x", size=8) + tars.padded(b"8 patha\n"),)),
        ("pax-negative-size", "none", (tars.pax({b"size": b"-1"}) + _evil(b"x"),)),
        ("pax-owner-overflow", "owner", (tars.pax({b"uid": b"4294967296"}) + _evil(b"x"),)),
        ("pax-time-overflow", "time", (tars.pax({b"mtime": b"9" * 30}) + _evil(b"x"),)),
        ("pax-header-of-4-gib", "too large", (tars.header(b"p", kind=b"x", size=4 << 30),)),
        ("long-name-of-4-gib", "too large", (tars.header(b"p", kind=b"L", size=4 << 30),)),
        ("negative-size", "impossible size", (tars.header(b"x", size=tars.base_256(-512, 12)),)),
        ("size-of-2-to-the-62", "more data|impossible", (tars.header(b"x", size=tars.base_256(2**62, 12)),)),
        ("size-beyond-64-bits", "malformed size", (tars.header(b"x", size=b"\x80" + b"\x7f" * 11),)),
        ("number-with-letters", "malformed", (tars.header(b"x", mode=b"rwxr-xr"),)),
        ("device-numbers-too-large", "device number", (tars.header(b"x", kind=b"4", device=(0o77777, 1)),)),
        ("sparse-gnu", "sparse", (_tarfile_sparse(),)),
        ("sparse-pax", "sparse", (tars.pax({b"GNU.sparse.major": b"1"}) + _evil(b"x"),)),
        ("unknown-type", "not supported", (tars.header(b"x", kind=b"Z"),)),
        ("multi-volume", "not supported", (tars.header(b"x", kind=b"M"),)),
        (
            "duplicate-kinds",
            None,
            (
                tars.file(b"x", b"1"),
                tars.directory(b"x/"),
                tars.file(b"x/y"),
                tars.symlink(b"x", CANARY),
                _evil(b"x"),
            ),
        ),
        ("aufs-links", None, (_evil(b".wh..wh.plnk/1.2"), _evil(b".wh..wh.aufs"))),
    ]
    made = [Hostile(name, tars.archive(*parts), error) for name, error, parts in pieces]
    return [
        *made,
        Hostile("path-max-chain", _path_max_chain(), ""),
        Hostile("checksum", _with_checksum_broken(), "checksum"),
        Hostile("cut-in-header", _evil(b"a")[:300], "ends in a header"),
        Hostile("cut-in-data", tars.file(b"a", b"x" * 5000)[:2000], "ends in the middle"),
        Hostile("cut-after-extended-header", tars.pax({b"path": b"a"}), "ends after"),
        Hostile("not-a-tar", bytes(range(256)) * 16, "checksum|malformed"),
        Hostile("gzip-cut", gzip.compress(tars.archive(tars.file(b"a", b"x" * 100_000)))[:60], "ends too early"),
        Hostile("gzip-damaged", gzip.compress(tars.archive(_evil(b"a")))[:-8] + b"\0" * 8, "damaged"),
        Hostile("zstd-damaged", b"\x28\xb5\x2f\xfd" + b"\xff" * 64, "damaged"),
        *(Hostile(name, tar, error) for name, error, tar in (*more_entries(), *more_streams())),
    ]


def by_tarfile() -> bytes:
    """One made by another hand, as a check that the corpus is readable at all."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(CANARY.decode()), io.BytesIO())
    return out.getvalue()


def _suffix(content: bytes) -> str:
    kind = sniff(content)
    return {"gzip": "tar.gz", "zstd": "tar.zst", "bzip2": "tar.bz2", "xz": "tar.xz"}.get(kind or "", "tar")


def write_corpus(directory: str, archives: list[Hostile]) -> None:
    """Every archive, and INDEX: file name, tab, what must happen."""
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "INDEX"), "w") as index:
        for hostile in archives:
            name = f"{hostile.name}.{_suffix(hostile.tar)}"
            must = "inside" if hostile.error is None else f"error: {hostile.error or 'any'}"
            index.write(f"{name}\t{must}\n")
            with open(os.path.join(directory, name), "wb") as file:
                file.write(hostile.tar)


if __name__ == "__main__":
    write_corpus(sys.argv[1], corpus())
