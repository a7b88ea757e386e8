"""Tar archives written by hand, byte by byte: what tarfile would not write is what readers must survive."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping

BLOCK = 512


def octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def base_256(value: int, width: int) -> bytes:
    return (value % (1 << (8 * width - 1)) | 1 << (8 * width - 1)).to_bytes(width, "big")


def number(value: int | bytes, width: int) -> bytes:
    """Octal where it fits, GNU's base-256 where not; bytes go in as they are."""
    if isinstance(value, bytes):
        return value.ljust(width, b"\0")
    return octal(value, width) if 0 <= value < 8 ** (width - 1) else base_256(value, width)


def header(
    name: bytes,
    *,
    kind: bytes = b"0",
    size: int | bytes = 0,
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
) -> bytes:
    fields = (
        name.ljust(100, b"\0")[:100],
        *(number(value, 8) for value in (mode, uid, gid)),
        number(size, 12) + number(mtime, 12),
        b" " * 8 + kind + link.ljust(100, b"\0")[:100] + magic + b"\0" * 64,
        octal(device[0], 8) + octal(device[1], 8) + prefix.ljust(155, b"\0"),
    )
    block = b"".join(fields).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % BLOCK)


def pax_record(key: bytes, value: bytes) -> bytes:
    rest = len(key) + len(value) + 3
    size = rest + len(str(rest))
    size = rest + len(str(size))
    return b"%d %b=%b\n" % (size, key, value)


def pax(records: Mapping[bytes, bytes], kind: bytes = b"x") -> bytes:
    data = b"".join(pax_record(key, value) for key, value in records.items())
    return header(b"PaxHeaders/entry", kind=kind, size=len(data)) + padded(data)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    return header(b"././@LongLink", kind=kind, size=len(name) + 1) + padded(name + b"\0")


def file(name: bytes, data: bytes = b"", **fields: object) -> bytes:
    return header(name, **{"size": len(data), **fields}) + padded(data)  # type: ignore[arg-type]


def directory(name: bytes, mode: int = 0o755, **fields: object) -> bytes:
    return header(name, kind=b"5", mode=mode, **fields)  # type: ignore[arg-type]


def symlink(name: bytes, target: bytes, **fields: object) -> bytes:
    return header(name, **{"kind": b"2", "mode": 0o777, "link": target, **fields})  # type: ignore[arg-type]


def hardlink(name: bytes, target: bytes, **fields: object) -> bytes:
    return header(name, kind=b"1", link=target, **fields)  # type: ignore[arg-type]


def archive(*parts: bytes) -> bytes:
    return b"".join(parts) + b"\0" * 2 * BLOCK


def describe(tar: bytes) -> list[tuple[object, ...]]:
    """Every member with all that matters, as Python's own reader sees it."""
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:", encoding="utf-8", errors="surrogateescape") as members:
        return [_describe(members, member) for member in members]


def _describe(members: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    source = members.extractfile(member) if member.isreg() else None
    content = hashlib.sha256(source.read()).hexdigest() if source else ""
    xattrs = sorted(item for item in member.pax_headers.items() if item[0].startswith("SCHILY.xattr."))
    name = member.name.rstrip("/")
    kind = member.type
    device = (member.devmajor, member.devminor) if member.isdev() and not member.isfifo() else (0, 0)
    owner = (member.mode, member.uid, member.gid, int(member.mtime))
    return (name, kind, *owner, device, member.linkname, content, xattrs)


def names(tar: bytes) -> list[str]:
    return [str(member[0]) for member in describe(tar)]
