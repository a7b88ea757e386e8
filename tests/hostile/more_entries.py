"""More of the corpus: entries that disagree, whiteouts, headers. (name, what its error says, archive)"""

from __future__ import annotations

from collections.abc import Iterator

from tests.support import tars

Made = tuple[str, str | None, bytes]
CANARY = b"../../canary/file"
_OUT = tars.symlink(b"out", b"../../canary")
_PWNED = b"pwned\n"
_HOLE = tars.file(b"x", b"1")


def more_entries() -> Iterator[Made]:
    for name, error, parts in (*_LINKS, *_TYPES, *_WHITEOUTS, *_NAMES, *_headers()):
        yield name, error, tars.archive(*parts)


_Parts = tuple[str, str | None, tuple[bytes, ...]]

_LINKS: tuple[_Parts, ...] = (
    # cpython#155999: a name that leaves the root and comes back, which makes directories outside on its way.
    ("leave-and-come-back", "climbs out", (tars.file(b"../diff/inside", _PWNED),)),
    ("leave-and-come-back-by-symlink", "x/y", (tars.symlink(b"up", b".."), tars.file(b"up/tree/diff/x/y"),
                                                   tars.symlink(b"x", b"up/new/../diff"), tars.file(b"x/y"))),
    # cpython#149486: symlinks without a name.
    ("symlinks-without-names", "only be a directory", (tars.symlink(b"", b".."), tars.symlink(b"", b"canary"))),
    # cpython#157190: mode and time of a hard link to a symlink must not go through it.
    ("hardlink-to-symlink-with-mode", None,
     (tars.symlink(b"s", CANARY), tars.hardlink(b"h", b"s", mode=0o6777, mtime=1, uid=3))),
    # cpython#151558: a hard link whose target was never unpacked falls back to a copy of an earlier member.
    ("hardlink-to-replaced-file", "h/x", (tars.file(b"a", b"1"), tars.symlink(b"a", CANARY), tars.hardlink(b"h", b"a"),
                                         tars.file(b"h/x"), tars.hardlink(b"h2", b"a/.."))),
    ("hardlink-to-later-entry", "'h': a hard link to a file that is not there",
     (tars.hardlink(b"h", b"later"), tars.file(b"later", b"1"))),
    ("hardlink-over-its-target", None, (tars.file(b"a", b"1"), tars.hardlink(b"b", b"a"), tars.hardlink(b"a", b"b"))),
    ("hardlink-to-a-parent-symlink", "not there", (_OUT, tars.hardlink(b"h", b"out/../canary/file"))),
    ("hardlink-in-pax-dotdot", "climbs out", (tars.pax({b"linkpath": CANARY}) + tars.hardlink(b"h", b"x"),)),
    ("hardlink-in-long-link-dotdot", "climbs out", (tars.long_name(CANARY, b"K") + tars.hardlink(b"h", b"x"),)),
    ("hardlink-without-target", "not there", (tars.hardlink(b"h", b""),)),
    ("hardlink-to-fifo", None, (tars.header(b"f", kind=b"6"), tars.hardlink(b"h", b"f"), tars.file(b"h", b"1"))),
    ("hardlink-with-data", "checksum|malformed", (tars.file(b"a"), tars.hardlink(b"h", b"a", size=512) + b"x" * 512)),
    ("symlink-with-data", "checksum|malformed", (tars.symlink(b"s", b"a", size=512) + b"x" * 512,)),
    ("symlink-to-proc-fd", "p/x", (tars.symlink(b"p", b"/proc/self/fd/3"), tars.file(b"p/x"))),
    ("symlink-to-proc-cwd", "p/x", (tars.symlink(b"p", b"/proc/self/cwd"), tars.directory(b"p/x/"))),
    ("symlinks-forty-one", "s41/x", (*(tars.symlink(b"s%d" % n, b"s%d" % (n - 1)) for n in range(1, 42)),
                                     tars.file(b"s41/x"))),
    ("symlink-of-4095-bytes", "s/x", (tars.pax({b"linkpath": b"a/" * 2047}) + tars.symlink(b"s", b"x"),
                                      tars.file(b"s/x"))),
    ("symlink-too-long", "'s': create symlink: File name too long",
     (tars.pax({b"linkpath": b"a" * 5000}) + tars.symlink(b"s", b"x"),)),
)  # fmt: skip

_TYPES: tuple[_Parts, ...] = (
    ("directory-becomes-symlink-below", "d/e/f", (tars.directory(b"d/e/"), tars.symlink(b"d/e", b"../../../canary"),
                                                  tars.file(b"d/e/f"))),
    ("directory-becomes-file", "d/f", (tars.directory(b"d/"), tars.file(b"d"), tars.file(b"d/f"))),
    ("directory-becomes-fifo", "d/f", (tars.directory(b"d/"), tars.header(b"d", kind=b"6"), tars.file(b"d/f"))),
    ("directory-becomes-hardlink", "d/x", (tars.file(b"f"), tars.directory(b"d/"), tars.hardlink(b"d", b"f"),
                                           tars.file(b"d/x"))),
    ("every-type-of-one-name", None, tuple(
        part for _ in range(3) for part in (tars.file(b"x"), tars.directory(b"x/"), tars.symlink(b"x", CANARY),
                                            tars.header(b"x", kind=b"6"), tars.directory(b"x/"), tars.file(b"x/y"),
                                            tars.header(b"x", kind=b"3", device=(1, 3)), tars.file(b".wh.x")))),
    ("same-file-a-thousand-times", None, tuple(tars.file(b"x", b"%d" % n) for n in range(1000))),
    ("file-with-a-slash-at-its-end", None, (tars.header(b"d/", kind=b"0"), tars.file(b"d/x"))),
    ("file-with-a-slash-and-data", "checksum|malformed", (tars.header(b"d/", kind=b"0", size=512) + b"x" * 512,)),
    ("symlink-with-a-slash-at-its-end", "s/x", (tars.symlink(b"s/", b"../../canary"), tars.file(b"s/x"))),
    ("hardlink-with-a-slash-at-its-end", None, (tars.file(b"f"), tars.hardlink(b"h/", b"f/"))),
    ("device-with-a-slash-at-its-end", None, (tars.header(b"n/", kind=b"4", device=(8, 0)),)),
    ("device-of-the-disk", None, (tars.header(b"sda", kind=b"4", device=(8, 0), mode=0o6777), tars.file(b"sda", b"1"))),
    ("setuid-of-root", None, (tars.file(b"su", b"#!/bin/sh\n", mode=0o6755),)),
    ("type-contiguous", None, (tars.header(b"c", kind=b"7"),)),
    ("type-nul", None, (tars.header(b"old", kind=b"\0"), tars.header(b"old-d/", kind=b"\0"))),
    *((f"type-unknown-{kind!r}", "'x': a member type that is not supported", (tars.header(b"x", kind=bytes([kind])),))
      for kind in (0x38, 0x41, 0x44, 0x4E, 0x56, 0x58, 0x7F, 0xFF)),
    ("type-pax-in-upper-case", "not supported", (tars.pax({b"path": b"y"}, b"X") + _HOLE,)),
)  # fmt: skip

_WHITEOUTS: tuple[_Parts, ...] = (
    ("opaque-marker-is-a-directory", None, (tars.directory(b"d/"), tars.directory(b"d/.wh..wh..opq/"))),
    ("opaque-marker-is-a-symlink", None, (tars.directory(b"d/"), tars.symlink(b"d/.wh..wh..opq", CANARY))),
    ("opaque-marker-with-data", None, (tars.file(b"d/.wh..wh..opq", b"x" * 600), tars.file(b"d/x"))),
    ("opaque-marker-with-children", None, (tars.file(b"d/.wh..wh..opq/../../x", b"1"), tars.file(b"d/.wh..wh..opq/y"))),
    ("opaque-marker-of-the-root", None, (tars.file(b".wh..wh..opq"), tars.file(b"x"))),
    ("opaque-marker-twice", None, (tars.file(b"d/.wh..wh..opq"), tars.file(b"d/x"), tars.file(b"d/.wh..wh..opq"))),
    ("opaque-marker-of-a-file", None, (tars.file(b"f"), tars.file(b"f/.wh..wh..opq"))),
    ("whiteout-of-the-opaque-marker", None, (tars.file(b"d/.wh..wh..wh..opq"),)),
    ("whiteout-of-a-whiteout", None, (tars.file(b".wh..wh.x"), tars.file(b".wh..wh..wh.x"))),
    ("whiteout-is-a-symlink", None, (tars.symlink(b".wh.x", CANARY),)),
    ("whiteout-is-a-directory", None, (tars.file(b"x"), tars.directory(b".wh.x/"))),
    ("whiteout-is-a-hardlink", None, (tars.file(b"f"), tars.hardlink(b".wh.f", b"f"))),
    ("whiteout-with-data", None, (tars.file(b".wh.x", b"y" * 3000), tars.file(b"z", b"1"))),
    ("whiteout-then-entry-below", None, (tars.file(b".wh.d"), tars.file(b"d/e/f"))),
    ("whiteout-then-symlink-then-entry", "d/f", (tars.file(b".wh.d"), tars.symlink(b"d", b"../../canary"),
                                                 tars.file(b"d/f"))),
    ("whiteout-of-a-parent-in-use", None, (tars.file(b"d/a"), tars.file(b".wh.d"), tars.file(b"d/b"))),
    ("whiteout-by-dots", None, (tars.directory(b"d/"), tars.file(b"d/../.wh.d"), tars.file(b"./.wh.e"))),
    ("whiteout-of-a-long-name", "too long", (tars.pax({b"path": b".wh." + b"n" * 256}) + tars.file(b"x"),)),
    ("hardlink-to-a-marker", "not there", (tars.file(b".wh.x"), tars.hardlink(b"h", b".wh.x"))),
    ("overlay-xattr-in-pax", None, (tars.pax({b"SCHILY.xattr.user.overlay.opaque": b"y",
                                              b"SCHILY.xattr.user.overlay.redirect": b"/etc",
                                              b"SCHILY.xattr.trusted.overlay.opaque": b"y"}) + tars.directory(b"d/"),)),
    ("record-xattr-in-pax", None, (tars.pax({b"SCHILY.xattr.user.rbuild.stat": b"100644 0 0 0:0 100600"})
                                   + tars.file(b"x", uid=1000),)),
)  # fmt: skip

_NAMES: tuple[_Parts, ...] = (
    ("dots-only", "only be a directory", (tars.file(b"./././."),)),
    ("dots-of-three", None, (tars.file(b".../....", b"1"),)),
    ("slashes-only", None, (tars.file(b"////"),)),
    ("backslashes", None, (tars.file(b"..\\..\\canary\\file", _PWNED),)),
    ("drive-letter", None, (tars.file(b"C:\\x"), tars.file(b"c:/x"))),
    ("newline-and-escape", "climbs out", (tars.file(b"../\x1b[2J\n\x07"),)),
    ("not-utf-8", None, (tars.file(b"\xff\xfe/\xc0\xaf.."),)),
    ("fraction-slash", None, (tars.file("..\u2215..\u2215canary".encode(), _PWNED),)),
    ("nul-in-name", None, (tars.header(b"a\0/../../canary/file", kind=b"0"),)),
    ("nul-in-long-name", None, (tars.header(b"././@LongLink", kind=b"L", size=8) + tars.padded(b"a\0/../..")
                                + tars.file(b"x"),)),
    ("nul-in-pax-linkpath", "NUL", (tars.pax({b"linkpath": b"a\0b"}) + tars.symlink(b"s", b"x"),)),
    ("long-name-empty", "only be a directory", (tars.long_name(b"") + tars.long_name(b"", b"K") + tars.file(b""),)),
    ("long-name-twice", None, (tars.long_name(CANARY) + tars.long_name(b"fine") + tars.file(b"x"),)),
    ("long-name-and-pax", "climbs out", (tars.long_name(b"fine") + tars.pax({b"path": CANARY}) + tars.file(b"x"),)),
    ("path-of-4095-bytes", None, (tars.pax({b"path": b"/".join([b"n" * 127] * 31 + [b"m" * 126])}) + tars.file(b"x"),)),
    ("deep-directories", None, tuple(tars.pax({b"path": b"d/" * n}) + tars.directory(b"x/") for n in range(1, 250))),
    ("deep-and-back", "climbs out", (tars.pax({b"path": b"d/" * 200 + b"../" * 201 + b"x"}) + tars.file(b"x"),)),
    ("many-dots", None, (tars.pax({b"path": b"./" * 2000 + b"x"}) + tars.file(b"x"),)),
    ("many-slashes", None, (tars.pax({b"path": b"/" * 4000 + b"x"}) + tars.file(b"x"),)),
)  # fmt: skip


def _raw_pax(data: bytes, kind: bytes = b"x") -> bytes:
    return tars.header(b"p", kind=kind, size=len(data)) + tars.padded(data) + _HOLE


def _headers() -> Iterator[_Parts]:
    """PAX records and numbers; what is wrong is named after the header that has it, or the entry it is for."""
    malformed = {
        "pax-size-overflow": b"99999999999999999999 path=a\n",
        "pax-size-2-to-the-32": b"4294967307 path=a\n",
        "pax-size-with-sign": b"-9 path=a\n",
        "pax-size-with-plus": b"+10 path=a\n",
        "pax-size-in-hex": b"0x0b path=a\n",
        "pax-size-one": b"1 path=a\n",
        "pax-without-newline": b"9 path=ab",
        "pax-without-key": b"6 =ab\n",
        "pax-without-space": b"10path=abc\n",
        "pax-key-with-nul": b"11 pa\0th=a\n",
        "pax-of-zeros": bytes(64),
        "pax-record-cut": b"10 path=a\n20 linkpath",
    }
    yield from ((name, "'p': a malformed PAX record", (_raw_pax(data),)) for name, data in malformed.items())
    yield "pax-empty", None, (_raw_pax(b""),)
    yield "pax-path-empty", None, (_raw_pax(b"8 path=\n"),)
    yield (
        "pax-path-twice",
        "climbs out",
        (_raw_pax(tars.pax_record(b"path", b"fine") + tars.pax_record(b"path", CANARY)),),
    )
    yield "pax-size-record-overflow", "number", (tars.pax({b"size": b"9" * 25}) + _HOLE,)
    yield "pax-size-record-huge", "more data", (tars.pax({b"size": b"%d" % (1 << 61)}) + _HOLE,)
    yield "pax-size-record-of-a-directory", None, (tars.pax({b"size": b"99999999"}) + tars.directory(b"d/") + _HOLE,)
    yield "pax-size-in-octal", None, (tars.pax({b"size": b"0001000"}) + tars.file(b"x", b"1" * 512),)
    yield "pax-global-path", None, (tars.pax({b"path": CANARY, b"size": b"1"}, b"g") + _HOLE,)
    yield "pax-global-is-endless", "too large", (tars.header(b"g", kind=b"g", size=1 << 40),)
    yield "pax-time-nan", "time", (tars.pax({b"mtime": b"nan"}) + _HOLE,)
    yield "pax-time-long-fraction", None, (tars.pax({b"mtime": b"1." + b"9" * 5000}) + _HOLE,)
    yield "pax-time-before-time", None, (tars.pax({b"mtime": b"-9000000000000000"}) + _HOLE,)
    yield (
        "pax-sparse-1",
        "sparse",
        (tars.pax({b"GNU.sparse.major": b"1", b"GNU.sparse.realsize": b"%d" % (1 << 62)}) + _HOLE,),
    )
    yield (
        "pax-sparse-0",
        "sparse",
        (tars.pax({b"GNU.sparse.size": b"%d" % (1 << 62), b"GNU.sparse.numblocks": b"999999999"}) + _HOLE,),
    )
    yield "pax-sparse-map", "sparse", (tars.pax({b"GNU.sparse.map": b"0,1," * 10_000}) + _HOLE,)
    yield (
        "pax-ten-thousand-xattrs",
        "'x'",
        (tars.pax({b"SCHILY.xattr.user.%d" % n: b"v" * 50 for n in range(10_000)}) + _HOLE,),
    )
    yield "pax-xattr-too-large", "'x'", (tars.pax({b"SCHILY.xattr.user.a": b"v" * 70_000}) + _HOLE,)
    yield "pax-xattr-name-too-long", "'x'", (tars.pax({b"SCHILY.xattr.user." + b"n" * 300: b"v"}) + _HOLE,)
    yield "pax-of-a-pax", None, (tars.pax({b"path": CANARY}) + tars.pax({b"path": b"fine"}) + _HOLE,)
    yield "pax-headers-without-end", "ends after", (tars.pax({b"comment": b"c"}) * 3000,)
    yield "size-in-base-256-minus-one", "impossible size", (tars.header(b"x", size=b"\xff" * 12),)
    yield "size-octal-without-end", "'x'|ends in", (tars.header(b"x", size=b"7" * 12),)
    yield "size-of-spaces", None, (tars.header(b"x", size=b" " * 12),)
    yield "size-of-a-pax-negative", "too large", (tars.header(b"p", kind=b"x", size=tars.base_256(-512, 12)) + _HOLE,)
    yield (
        "size-of-a-long-name-negative",
        "too large",
        (tars.header(b"p", kind=b"L", size=tars.base_256(-1, 12)) + _HOLE,),
    )
    yield "time-in-base-256-huge", None, (tars.header(b"x", mtime=tars.base_256(1 << 62, 12)),)
    yield "time-in-base-256-negative", None, (tars.header(b"x", mtime=tars.base_256(-(1 << 40), 12)),)
    yield "mode-with-all-bits", None, (tars.header(b"x", mode=0o7777777), tars.directory(b"d/", mode=0o7777777))
    yield "owner-negative", "owner", (tars.header(b"x", uid=tars.base_256(-1, 8)),)
    yield "owner-nobody", "owner", (tars.pax({b"gid": b"4294967295"}) + _HOLE,)
    yield "device-negative", "checksum", (tars.header(b"x", kind=b"3")[:329] + b"-1\0",)
