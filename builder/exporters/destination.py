"""Destinations: files that are complete or not there, and what to say when they cannot be written."""

from __future__ import annotations

import io
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, cast

from builder.errors import DocumentError, ExportError, remedy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.oci.descriptor import Descriptor
    from builder.store.blobs import Blobs

_CHUNK = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def destination(dest: str, stdout: BinaryIO) -> Iterator[BinaryIO]:
    """A file to write `dest` to: it appears under its name when the block ends without an error.

    "-" is `stdout`. A device or FIFO is written as it is.
    """
    with export_errors("standard output" if dest == "-" else dest):
        if dest == "-":
            yield stdout
            stdout.flush()
        elif _is_special(dest):
            with open(dest, "wb") as device:
                yield device
        else:
            with replacing(dest) as file:
                yield file


@contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """An unbuffered new file that takes the place of `path` at the end of the block, and only then."""
    if os.path.isdir(path):
        raise ExportError(
            f"{path} is a directory",
            hint="dest= names the file to write; only type=oci,tar=false and type=local write directories",
        )
    folder, name = os.path.split(os.path.abspath(path))
    staged = os.path.join(folder, f".{name[:100]}.{os.urandom(6).hex()}")
    file = io.FileIO(os.open(staged, _NEW, 0o666), "w")
    try:
        with file:
            yield cast("BinaryIO", file)
        os.rename(staged, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(staged)
        raise


@contextmanager
def export_errors(dest: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(f"cannot write {dest}: {error.strerror or error}", hint=_hint(error)) from error


def write_fully(out: BinaryIO, content: bytes | memoryview) -> None:
    """Write all of it also to an unbuffered file, whose `write` may take less."""
    left = memoryview(content)
    while left:
        left = left[out.write(left) :]


def copy_blob(blobs: Blobs, blob: Descriptor, out: BinaryIO) -> None:
    """Append a blob to `out`, verifying it on the way unless this process has already done so."""
    verified = blobs.is_verified(blob.digest)
    with blobs.open(blob.digest) as file:
        if os.path.getsize(blobs.path(blob.digest)) != blob.size:
            raise DocumentError(f"blob {blob.digest} has not the {blob.size} bytes that its image announces")
        if verified and isinstance(out, io.FileIO) and _copy_range(file.fileno(), out.fileno()):
            return
        while chunk := file.read(_CHUNK):
            write_fully(out, chunk)


def _copy_range(source: int, target: int) -> bool:
    """Let the kernel copy; False if it cannot between these two and has not begun."""
    left = os.fstat(source).st_size
    begun = False
    while left:
        try:
            count = os.copy_file_range(source, target, min(left, 1 << 30))
        except OSError:
            if begun:
                raise
            return False
        if not count:
            # Some file systems answer 0 where they mean "not supported"; what is left, read copies.
            return False
        left, begun = left - count, True
    return True


def _is_special(path: str) -> bool:
    with suppress(OSError):
        mode = os.stat(path).st_mode
        return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return False


def _hint(error: OSError) -> str | None:
    if isinstance(error, FileNotFoundError):
        return "make the directory first"
    if isinstance(error, PermissionError):
        return "name a place that you can write with dest="
    if isinstance(error, NotADirectoryError):
        return "a part of the path is a file: name another place with dest="
    if isinstance(error, FileExistsError):
        return "there is a file in the place of the directory: name another one with dest="
    return remedy(error)
