"""A directory described in lines, for what a repository cannot hold: modes, links, FIFOs, archives.

    dir      PATH MODE
    file     PATH MODE CONTENT           escapes in CONTENT are Python's
    link     PATH TARGET
    hardlink PATH TARGET
    fifo     PATH MODE
    gz       PATH CONTENT                a compressed file that is no archive
    tar      PATH                        compressed as its name says; members follow, indented:
      dir|file|link|hardlink|fifo|char PATH MODE OWNER [CONTENT|TARGET|MAJOR:MINOR]

Words are split as a shell does. Parents that are not described are made with mode 0755.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shlex
import tarfile
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
_TYPES = {
    "dir": tarfile.DIRTYPE,
    "file": tarfile.REGTYPE,
    "link": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "char": tarfile.CHRTYPE,
}


def make(text: str, root: Path) -> None:
    """Make everything that `text` describes below `root`."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    modes: list[tuple[Path, int]] = []
    for number, line in enumerate(lines):
        if line[0].isspace():
            continue
        kind, name, *rest = shlex.split(line)
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "tar":
            path.write_bytes(_tar(path.suffix, lines[number + 1 :]))
        else:
            _make_one(kind, path, rest)
        if kind in ("dir", "file", "fifo"):
            modes.append((path, int(rest[0], 8)))
    for path, mode in reversed(modes):
        path.chmod(mode)


def _make_one(kind: str, path: Path, rest: list[str]) -> None:
    match kind:
        case "dir":
            path.mkdir(exist_ok=True)
        case "file":
            path.write_bytes(_content(rest[1]))
        case "link":
            path.symlink_to(rest[0])
        case "hardlink":
            path.hardlink_to(path.parent / rest[0])
        case "fifo":
            os.mkfifo(path)
        case "gz":
            path.write_bytes(gzip.compress(_content(rest[0])))
        case _:
            raise ValueError(f"unknown kind {kind!r}")


def _content(text: str) -> bytes:
    return text.encode().decode("unicode_escape").encode("latin-1")


def _tar(suffix: str, lines: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for line in lines:
            if not line[0].isspace():
                break
            _add_member(archive, *shlex.split(line))
    return _COMPRESS.get(suffix, bytes)(buffer.getvalue())


def _add_member(archive: tarfile.TarFile, kind: str, path: str, mode: str, owner: str, rest: str = "") -> None:
    member = tarfile.TarInfo(path)
    member.type = _TYPES[kind]
    member.mode = int(mode, 8)
    member.uid, member.gid = map(int, owner.split(":"))
    content = b""
    if kind == "file":
        content = _content(rest)
        member.size = len(content)
    elif kind == "char":
        member.devmajor, member.devminor = map(int, rest.split(":"))
    else:
        member.linkname = rest
    archive.addfile(member, io.BytesIO(content))
