"""What is in an image archive: its three documents in memory, every other file as a blob in the store.

The members of a tar come in any order and, from a pipe, only once, so each is stored as it passes.
Members are read and never extracted: their names are keys of a dict.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import ArchiveError
from builder.store.blobs import DOCUMENT_LIMIT
from builder.values import NamedTuple

if TYPE_CHECKING:
    import tarfile

    from builder.oci.descriptor import Descriptor
    from builder.store.blobs import Blobs

_DOCUMENTS = ("oci-layout", "index.json", "manifest.json")
_LEGACY = ("VERSION", "json", "repositories")  # of docker save before 1.10; everything is in manifest.json
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})", re.ASCII)
_LINKS = 16  # docker save made links to layers; a long chain of them is somebody's joke
_MEMBERS = 1 << 14


class Contents(NamedTuple):
    """By member name: bytes of documents, stored blobs, and where links point."""

    documents: dict[str, bytes]
    blobs: dict[str, Descriptor]
    links: dict[str, str]

    def blob(self, name: str) -> Descriptor:
        """What a member was stored as, links followed; ArchiveError if there is no such member."""
        name = clean(name)
        for _ in range(_LINKS):
            if name in self.blobs:
                return self.blobs[name]
            if name not in self.links:
                raise ArchiveError(f"{name!r} is missing")
            name = self.links[name]
        raise ArchiveError(f"{name!r}: too many links")


def clean(name: str) -> str:
    """The member name in its one spelling; ArchiveError if it leads out of the archive."""
    normal = posixpath.normpath(name.lstrip("/") or ".")
    if normal.split("/")[0] == "..":
        raise ArchiveError(f"{name!r} leads out of the archive")
    return normal


def read_tar(stream: BinaryIO, blobs: Blobs) -> Contents:
    """Everything in a tar, plain or compressed with gzip, bzip2 or xz, read once from front to back."""
    import tarfile

    contents = Contents({}, {}, {})
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            for number, member in enumerate(archive):
                if number >= _MEMBERS:
                    raise ArchiveError(f"it has more than {_MEMBERS} members")
                _take(archive, member, contents, blobs)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ArchiveError(f"not a tar archive, or a damaged one: {error}") from error
    return contents


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, contents: Contents, blobs: Blobs) -> None:
    name = clean(member.name)
    if member.isdir():
        return
    if name in contents.documents or name in contents.blobs or name in contents.links:
        raise ArchiveError(f"{name!r} is in it twice")
    if member.issym():
        contents.links[name] = clean(posixpath.join(posixpath.dirname(name), member.linkname))
    elif member.islnk():
        contents.links[name] = clean(member.linkname)
    elif member.isreg() and not member.issparse():
        _read(archive, member, name, contents, blobs)
    else:
        raise ArchiveError(f"{name!r} is no plain file, directory or link")


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, contents: Contents, blobs: Blobs) -> None:
    stream = archive.extractfile(member)
    assert stream is not None
    if name in _DOCUMENTS:
        if member.size > DOCUMENT_LIMIT:
            raise ArchiveError(f"{name} is too long: {member.size} bytes")
        contents.documents[name] = stream.read()
    elif posixpath.basename(name) not in _LEGACY:
        named = _BLOB.fullmatch(name)
        digest = f"sha256:{named[1]}" if named else None
        contents.blobs[name] = blobs.put(stream, digest=digest, size=member.size)
