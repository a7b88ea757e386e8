"""The files of an image as lines, sorted by path: what tests compare root file systems by.

dir  0755 0:0 bin
file 0644 0:0 bin/hello "hello\\n"
hard bin/again = bin/hello
link 0777 0:0 sh -> bin/hello
fifo 0600 0:0 pipe
char 0666 0:0 null 1:3
"""

from __future__ import annotations

import io
import json
import tarfile
from typing import TYPE_CHECKING, NamedTuple

from builder.layers import codec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LONG = 200


class Node(NamedTuple):
    """One file; hard links share it."""

    member: tarfile.TarInfo
    content: bytes


Files = dict[str, Node]


def of_layers(layers: Iterable[bytes]) -> Files:
    """What unpacking layers one over the other gives, by the rules of the OCI image-spec."""
    files: Files = {}
    for layer in layers:
        _apply(files, layer)
    return files


def of_tar(data: bytes) -> Files:
    return of_layers([data])


def _apply(files: Files, layer: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(_plain(layer))) as archive:
        for member in archive:
            directory, _, name = member.name.rpartition("/")
            if name.startswith(".wh."):
                _remove(files, f"{directory}/{name[4:]}".lstrip("/"))
            elif member.islnk():
                files[member.name] = files[member.linkname]
            else:
                _put(files, member, archive)


def _plain(layer: bytes) -> bytes:
    reader = codec.decompressed(io.BytesIO(layer), name=codec.sniff(layer[:512]))
    return b"".join(iter(lambda: reader.read(1 << 20), b""))


def _put(files: Files, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
    old = files.get(member.name)
    if old and old.member.isdir() and not member.isdir():
        _remove(files, member.name)
    source = archive.extractfile(member) if member.isreg() else None
    files[member.name] = Node(member, source.read() if source else b"")


def _remove(files: Files, path: str) -> None:
    for name in [name for name in files if name == path or name.startswith(f"{path}/")]:
        del files[name]


def lines(files: Files) -> Iterator[str]:
    first: dict[int, str] = {}
    for path in sorted(files):
        node = files[path]
        again = first.setdefault(id(node), path)
        yield f"hard {path} = {again}" if again != path else _line(path, node)


def _line(path: str, node: Node) -> str:
    member = node.member
    about = f"{member.mode:04o} {member.uid}:{member.gid} {path}"
    if member.isdir():
        return f"dir  {about}"
    if member.issym():
        return f"link {about} -> {member.linkname}"
    if member.isfifo():
        return f"fifo {about}"
    if member.isdev():
        return f"{'char' if member.ischr() else 'block'} {about} {member.devmajor}:{member.devminor}"
    return f"file {about} {_shown(node.content)}"


def _shown(content: bytes) -> str:
    """Readable content as JSON; of what nobody would read, the size."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "(binary)"
    return json.dumps(text) if len(text) <= _LONG else f"({len(content)} bytes)"
