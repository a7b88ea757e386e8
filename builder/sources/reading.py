"""Reads files of a build context for their digests, each byte once, several files at a time."""

from __future__ import annotations

import hashlib
import os
import struct
from functools import partial
from itertools import chain, groupby
from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.snapshots.filetree import join
from builder.sources.listing import IDENTITY, row_of, unreadable
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from builder.sources.context import ContextTree

_BLOCK = 1 << 20
_FEW = 32 << 20  # bytes: below that, threads cost more than they bring
_MOST = 4  # threads; hashing is bound by the processors, and reading by the disk
_BATCH = 256
_INODE = 16  # bytes of an identity: device and inode
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # it may be something else by now


class File(NamedTuple):
    """A regular file of a context: where it is, and the part of its stat that tells its content."""

    directory: str
    name: bytes
    identity: bytes

    @property
    def size(self) -> int:
        size: int = struct.unpack_from("=q", self.identity, 16)[0]
        return size

    @property
    def newest(self) -> int:
        times: tuple[int, int] = struct.unpack_from("=2q", self.identity, 24)
        return max(times)


def read(tree: ContextTree, files: Sequence[File]) -> list[bytes]:
    """The SHA-256 of each. BuildError where one cannot be read, or is another than was listed."""
    batches = list(_batches(files))
    if len(batches) < 2 or sum(file.size for file in files) < _FEW:
        return list(chain.from_iterable(_read_batch(tree, batch) for batch in batches))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(_MOST, len(os.sched_getaffinity(0)))) as pool:
        return list(chain.from_iterable(pool.map(partial(_read_batch, tree), batches)))


def _batches(files: Iterable[File]) -> Iterator[list[File]]:
    """Of one directory each."""
    for _, group in groupby(files, lambda file: file.directory):
        batch: list[File] = []
        size = 0
        for file in group:
            batch.append(file)
            size += file.size
            if len(batch) == _BATCH or size > _FEW:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def _read_batch(tree: ContextTree, files: Sequence[File]) -> list[bytes]:
    directory = files[0].directory
    try:
        at = tree.open_at(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise unreadable(directory, error) from error
    try:
        return [_read_file(at, file) for file in files]
    finally:
        os.close(at)


def _read_file(at: int, file: File) -> bytes:
    try:
        descriptor = os.open(file.name, _FLAGS, dir_fd=at)
        try:
            digest = _sha256(descriptor, file.size)
            inode = row_of(os.fstat(descriptor))[IDENTITY][:_INODE]
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unreadable(join(file.directory, os.fsdecode(file.name)), error) from error
    if inode != file.identity[:_INODE]:
        raise _changed(file)
    return digest


def _changed(file: File) -> BuildError:
    """Another file has come in its place. Where its directory was swapped and comes back, no stat would tell that."""
    path = join(file.directory, os.fsdecode(file.name))
    return BuildError(
        f'"/{path}" was changed while it was being read', hint="build again when nothing writes to the build context"
    )


def _sha256(descriptor: int, size: int) -> bytes:
    """One read for a small file: what ends where its stat says has ended. What does not is read to its end."""
    hasher = hashlib.sha256()
    left = size
    while True:
        asked = min(left + 1, _BLOCK) if left >= 0 else _BLOCK
        block = os.read(descriptor, asked)
        hasher.update(block)
        left -= len(block)
        if not block or (left == 0 and len(block) < asked):
            return hasher.digest()
