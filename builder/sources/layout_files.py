"""The files of an OCI layout that somebody brought, in a tar or a directory: found by name, read in place.

    oci-layout · index.json · blobs/ · blobs/sha256/ · blobs/sha256/<hex>…

Nothing is extracted, and no name is ever used as a path of this machine but `blobs/sha256/<64 hex digits>`.
A tar is taken only in the one form that rbuild writes: what a header may say besides a name and a size is how
archives are made to mean two things.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import TYPE_CHECKING, Protocol

from builder.errors import ArchiveError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_BLOCK = 512
_NAME = re.compile(r"oci-layout|index\.json|blobs/sha256/[0-9a-f]{64}", re.ASCII)
_DIRECTORIES = ("blobs/", "blobs/sha256/")
_MEMBERS = 1 << 16
_FILE, _FOLDER = b"0", b"5"
_KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
_LARGEST_OCTAL = 1 << 33
_REPACKED = "rbuild bundle writes it otherwise: take the original, or unpack it and name the directory"


class LayoutFiles(Protocol):
    """`sizes` by name. What is read is what was there when it was opened, or the reader's digest will tell."""

    sizes: Mapping[str, int]

    def open(self, name: str) -> Part: ...

    def close(self) -> None: ...


class Part:
    """A piece of a file, read from its start; may be read beside others of the same descriptor."""

    def __init__(self, descriptor: int, offset: int, size: int, *, owned: bool = False) -> None:
        self._descriptor, self._at, self._end = descriptor, offset, offset + size
        self._owned = owned

    def read(self, size: int = -1, /) -> bytes:
        """Some bytes, b"" at the end; fewer than announced where the file was cut meanwhile."""
        left = self._end - self._at
        block = os.pread(self._descriptor, min(left, size) if size >= 0 else left, self._at)
        self._at += len(block)
        return block

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        if self._owned:
            os.close(self._descriptor)


def open_layout(path: str) -> LayoutFiles:
    """Raises ArchiveError for what is neither, or holds what a layout does not; OSError for what cannot be read."""
    return DirectoryFiles(path) if os.path.isdir(path) else TarFiles(path)


class TarFiles:
    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(self._descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ArchiveError("not a file: a bundle is read more than once")
            self._members = _Index(self._descriptor, found.st_size).members()
        except BaseException:
            os.close(self._descriptor)
            raise
        self.sizes: Mapping[str, int] = {name: size for name, (_, size) in self._members.items()}

    def open(self, name: str) -> Part:
        return Part(self._descriptor, *self._members[name])

    def close(self) -> None:
        os.close(self._descriptor)


class DirectoryFiles:
    def __init__(self, path: str) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._top = os.open(path, flags & ~os.O_NOFOLLOW)
        self._blobs = -1
        try:
            _check_names(self._top, ("blobs", "index.json", "oci-layout"), "")
            blobs = os.open("blobs", flags, dir_fd=self._top)
            try:
                _check_names(blobs, ("sha256",), "blobs/")
                self._blobs = os.open("sha256", flags, dir_fd=blobs)
            finally:
                os.close(blobs)
            self.sizes: Mapping[str, int] = {name: self._size(name) for name in self._names()}
        except BaseException as error:
            self.close()
            if isinstance(error, NotADirectoryError | FileNotFoundError):
                raise ArchiveError(f"{error.filename}: not the directory of a layout") from error
            raise

    def open(self, name: str) -> Part:
        descriptor = self._descriptor(name)
        return Part(descriptor, 0, os.fstat(descriptor).st_size, owned=True)

    def close(self) -> None:
        for descriptor in (self._top, self._blobs):
            if descriptor >= 0:
                os.close(descriptor)

    def _names(self) -> list[str]:
        names = sorted(os.listdir(self._blobs))
        return ["index.json", "oci-layout", *(_name(f"blobs/sha256/{name}") for name in names)]

    def _size(self, name: str) -> int:
        descriptor = self._descriptor(name)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ArchiveError(f"{name} is no plain file")
        return found.st_size

    def _descriptor(self, name: str) -> int:
        """A link is refused by the kernel, and a pipe does not make us wait."""
        folder, _, last = name.rpartition("/")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            return os.open(last, flags, dir_fd=self._blobs if folder else self._top)
        except OSError as error:
            reason = "it is a link" if error.errno == errno.ELOOP else error.strerror
            raise ArchiveError(f"{name} cannot be read: {reason}") from error


def _check_names(directory: int, known: tuple[str, ...], prefix: str) -> None:
    if strange := sorted(set(os.listdir(directory)) - set(known)):
        raise ArchiveError(f"{prefix}{strange[0]!r} is no part of a bundle")


class _Index:
    """One walk over the headers of a tar: where each file is."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor, self._size = descriptor, size
        self._at = 0

    def members(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        folders: set[str] = set()
        while header := self._header():
            entry = _parse(header)
            if entry.name in found or entry.name in folders:
                raise ArchiveError(f"{entry.name} is in it twice")
            if entry.is_folder:
                folders.add(entry.name)
            else:
                found[entry.name] = (self._at, entry.size)
                self._skip(entry)
            if len(found) > _MEMBERS:
                raise ArchiveError(f"it has more than {_MEMBERS} members")
        return found

    def _header(self) -> bytes:
        """The next header; b"" for the two empty blocks that are the end, after which nothing comes."""
        header = os.pread(self._descriptor, _BLOCK, self._at)
        if not self._at and not _is_tar(header):
            raise ArchiveError("not a bundle: neither a tar nor a directory", hint=_hint(header))
        if len(header) < _BLOCK:
            raise ArchiveError(f"truncated: it ends after {self._size} bytes, without the end of an archive")
        self._at += _BLOCK
        if any(header):
            return header
        rest = os.pread(self._descriptor, 2 * _BLOCK, self._at)
        if len(rest) < _BLOCK:
            raise ArchiveError(f"truncated: it ends after {self._size} bytes, inside the end of the archive")
        if len(rest) > _BLOCK or any(rest):
            raise ArchiveError(f"it goes on after the end of the archive, at byte {self._at + _BLOCK}")
        return b""

    def _skip(self, entry: _Entry) -> None:
        end = self._at + entry.size
        padding = -entry.size % _BLOCK
        if end > self._size:
            raise ArchiveError(f"truncated: {entry.name} has {self._size - self._at} of its {entry.size} bytes")
        if end + padding > self._size:
            raise ArchiveError(f"truncated: it ends after {self._size} bytes, right after {entry.name}")
        if any(os.pread(self._descriptor, padding, end)):
            raise ArchiveError(f"altered: there is something between {entry.name} and what follows it")
        self._at = end + padding


class _Entry(NamedTuple):
    name: str
    size: int
    is_folder: bool


def _parse(header: bytes) -> _Entry:
    """What a header says, once it is sure that it says nothing else."""
    name = header[:100].rstrip(b"\0").decode("ascii", "backslashreplace")
    kind = header[156:157]
    if kind in _KINDS:
        raise ArchiveError(f"{name!r} is {_KINDS[kind]}")
    is_folder = name in _DIRECTORIES
    entry = _Entry(name if is_folder else _name(name), _number(header[124:136], name), is_folder)
    if header != header_of(entry.name, entry.size):
        raise ArchiveError(f"the tar header of {name!r} is altered, or another program has written it", hint=_REPACKED)
    return entry


def _name(text: str) -> str:
    if _NAME.fullmatch(text):
        return text
    if ".." in text.split("/") or text.startswith("/"):
        raise ArchiveError(f"{text!r} leads out of the bundle")
    raise ArchiveError(f"{text!r} is no part of a bundle", hint=_REPACKED)


def _number(field: bytes, name: str) -> int:
    """POSIX's octal digits, or GNU's base 256 for what has no room in them."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.rstrip(b"\0 ")
    if not digits or digits.strip(b"01234567"):
        raise ArchiveError(f"the tar header of {name!r} is damaged: it has no size")
    return int(digits, 8)


def header_of(name: str, size: int) -> bytes:
    """The one header for a file or, with a slash at its end, a directory (GNU tar's form, of root, of time 0)."""
    folder = name.endswith("/")
    length = b"%011o\0" % size if size < _LARGEST_OCTAL else b"\x80" + size.to_bytes(11, "big")
    kind = _FOLDER if folder else _FILE
    start = b"".join(
        (name.encode().ljust(100, b"\0"), b"%07o\0" % (0o755 if folder else 0o644), b"0000000\0" * 2, length, b"0" * 11)
    )
    rest = kind + bytes(100) + b"ustar  \0" + bytes(64)
    head = start + b"\0" + b" " * 8 + rest
    return (start + b"\0" + b"%06o\0 " % sum(head) + rest).ljust(_BLOCK, b"\0")


def _is_tar(start: bytes) -> bool:
    return not start.strip(b"\0") or start[257:262] == b"ustar"


def _hint(start: bytes) -> str | None:
    if start[:2] == b"\x1f\x8b" or start[:4] == b"\x28\xb5\x2f\xfd" or start[:6] == b"\xfd7zXZ\0":
        return "it is compressed: unpack it first, its layers are compressed anyway"
    return "rbuild bundle -o FILE.tar makes one"
