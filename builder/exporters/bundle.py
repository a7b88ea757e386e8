"""A bundle on its way out: a layout of blobs that lie in many places, as a directory or as a tar.

    oci-layout · index.json · blobs/ · blobs/sha256/ · blobs/sha256/<hex>…        sorted, of root, of time 0

Every blob is hashed while it is copied: what a bundle announces is what is in it.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import StoreError, UsageError
from builder.exporters.destination import destination, export_errors, write_fully
from builder.exporters.layout import LAYOUT
from builder.store.files import remove_tree
from builder.store.paths import store_errors
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHUNK = 1 << 20
_COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")


class Piece(NamedTuple):
    """The bytes of one blob: a file, or `content` where there is none."""

    size: int
    path: str = ""
    content: bytes = b""


def is_archive(dest: str) -> bool:
    """Whether a destination is a tar: `-` and names that end so. UsageError for a name that says two things."""
    if dest.endswith(_COMPRESSED):
        raise UsageError(f"-o {dest}: a bundle is not compressed", hint="layers are; name it FILE.tar or a directory")
    archive = dest == "-" or dest.endswith(".tar")
    if not archive and os.path.exists(dest) and not os.path.isdir(dest):
        raise UsageError(f"-o {dest}: a file", hint="name a file that ends in .tar, or a directory")
    if not archive and os.path.isdir(dest) and os.listdir(dest):
        raise UsageError(f"-o {dest}: the directory is not empty", hint="a bundle is a whole: name a new directory")
    return archive


def write_bundle(dest: str, index: bytes, pieces: Mapping[str, Piece], stdout: BinaryIO) -> None:
    """Write the layout of `pieces`, by digest. A failure leaves nothing but an empty directory that was there."""
    if is_archive(dest):
        _write_archive(dest, index, pieces, stdout)
    else:
        with export_errors(dest):
            _write_directory(dest, index, pieces)


def _write_archive(dest: str, index: bytes, pieces: Mapping[str, Piece], stdout: BinaryIO) -> None:
    from builder.exporters.tarstream import TarStream

    with destination(dest, stdout) as out:
        archive = TarStream(out)
        archive.add_bytes("oci-layout", LAYOUT)
        archive.add_bytes("index.json", index)
        archive.add_directory("blobs/")
        archive.add_directory("blobs/sha256/")
        for digest, piece in sorted(pieces.items()):
            with archive.member(_member(digest), piece.size):
                _copy(digest, piece, out)
        archive.finish()


def _write_directory(dest: str, index: bytes, pieces: Mapping[str, Piece]) -> None:
    """Beside its place first: under its name it is whole."""
    folder, name = os.path.split(os.path.abspath(dest))
    staged = os.path.join(folder, f".{name[:100]}.{os.urandom(6).hex()}")
    try:
        os.mkdir(staged)
        _fill(staged, index, pieces)
        os.rename(staged, dest)
    except BaseException:
        remove_tree(staged)
        raise


def _fill(directory: str, index: bytes, pieces: Mapping[str, Piece]) -> None:
    os.makedirs(f"{directory}/blobs/sha256")
    for digest, piece in sorted(pieces.items()):
        with open(f"{directory}/{_member(digest)}", "xb") as out:
            _copy(digest, piece, out)
    for name, content in (("oci-layout", LAYOUT), ("index.json", index)):
        with open(f"{directory}/{name}", "xb") as out:
            out.write(content)


def _copy(digest: str, piece: Piece, out: BinaryIO) -> None:
    hasher, size = hashlib.sha256(), 0
    for block in _blocks(piece):
        hasher.update(block)
        size += len(block)
        if size > piece.size:
            break
        write_fully(out, block)
    found = "sha256:" + hasher.hexdigest()
    if (found, size) != (digest, piece.size):
        raise StoreError(
            f"{piece.path or 'a document'} was to be {digest} of {piece.size} bytes, and is {found}",
            hint="the store is damaged, or was changed meanwhile: remove that file and run the command again",
        )


def _blocks(piece: Piece) -> Iterator[bytes]:
    if not piece.path:
        yield piece.content
        return
    with store_errors(f"read {piece.path}"):
        descriptor = os.open(piece.path, os.O_RDONLY | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        while block := file.read(_CHUNK):
            yield block


def _member(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
