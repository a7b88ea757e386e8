"""Blobs: content by digest. Bytes are verified by the stream that carries them, in and out."""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from builder.errors import DocumentError, StoreError
from builder.oci.descriptor import Descriptor, describe
from builder.oci.digest import hex_of, parse_digest
from builder.store.files import create, read_file, rename_durably, write_all
from builder.store.paths import BLOBS, store_error, store_errors

if TYPE_CHECKING:
    from types import TracebackType

    from builder.store.leases import Lease

CHUNK = 1 << 20
OCTETS = "application/octet-stream"
DOCUMENT_LIMIT = 16 << 20  # no manifest, index or config comes near; a hostile one must not fill the memory


class MissingBlob(StoreError):
    """A blob that is named but not here: of an image that has been pulled in part, for one."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Blobs:
    def __init__(self, root: str, lease: Lease) -> None:
        self.root = root
        self._lease = lease
        self._verified: set[str] = set()

    def path(self, digest: str) -> str:
        """Where the blob is if it is there at all."""
        return f"{self.root}/{BLOBS}/{hex_of(digest)}"

    def has(self, digest: str) -> bool:
        return os.path.isfile(self.path(digest))

    def is_verified(self, digest: str) -> bool:
        """True if this process has seen all bytes of the blob and they were right."""
        return digest in self._verified

    def open(self, digest: str) -> io.RawIOBase:
        """A reader of the blob, unbuffered. StoreError if it is not there.

        The first reader in this process verifies: reading to the end, or leaving its `with` block
        without an error, means that all bytes were right. A damaged blob raises StoreError then, and is
        removed, so that the next build gets it anew.
        """
        with store_errors(f"read blob {digest}"):
            try:
                file = io.FileIO(self.path(digest))
            except FileNotFoundError:
                raise missing(digest) from None
        return file if digest in self._verified else _VerifyingReader(self, digest, file)

    def read(self, descriptor: Descriptor) -> bytes:
        """All bytes of a small blob (a document), of the size that the descriptor gives."""
        if descriptor.size > DOCUMENT_LIMIT:
            raise DocumentError(f"{descriptor.media_type} {descriptor.digest} is too long: {descriptor.size} bytes")
        with self.open(descriptor.digest) as file:
            content = file.read(descriptor.size + 1) or b""
        if len(content) != descriptor.size:
            raise DocumentError(f"blob {descriptor.digest} is not of the announced {descriptor.size} bytes")
        return content

    def put_bytes(self, media_type: str, content: bytes) -> Descriptor:
        """Store a document. Success means that it is on the disk; nothing is written if it was already."""
        descriptor = describe(media_type, content)
        with suppress(OSError):
            if read_file(self.path(descriptor.digest)) == content:
                self._verified.add(descriptor.digest)
                return descriptor
        with self.ingest() as ingest:
            ingest.write(content)
            return ingest.commit(media_type)

    def put(
        self, stream: Readable, media_type: str = OCTETS, digest: str | None = None, size: int | None = None
    ) -> Descriptor:
        """Store all that `stream` gives. DocumentError, and no blob, if it is not what was expected."""
        with self.ingest(expected=size) as ingest:
            while chunk := stream.read(CHUNK):
                ingest.write(chunk)
            return ingest.commit(media_type, digest, size)

    def ingest(self, *, expected: int | None = None, hashed: bool = True) -> Ingest:
        """A writer of a new blob, to be used in a `with` block; without `commit` nothing is stored.

        `expected` bounds the size. With `hashed=False` the writer has hashed the bytes itself and
        vouches for the digest that it gives to `commit`; it may write to `fileno()` then.
        """
        return Ingest(self, self._lease.staging("blob"), expected, hashed)

    def publish(self, staged: str, digest: str) -> None:
        """Move a written and fsynced file of ours into its place. Success if it was there already."""
        rename_durably(staged, self.path(digest))
        self._verified.add(digest)

    def believe(self, digest: str) -> None:
        self._verified.add(digest)

    def reject(self, digest: str, file: io.FileIO) -> StoreError:
        """Remove a blob whose bytes, read through `file`, are wrong, unless it has been replaced since."""
        with suppress(OSError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(self.path(digest))):
                os.unlink(self.path(digest))
        return StoreError(
            f"blob {digest} in {self.root} is damaged and has been removed",
            hint="run the command again; load or pull the base image anew if it is a part of one",
        )


def missing(digest: str) -> MissingBlob:
    hint = "build, load or pull the image that it belongs to again"
    return MissingBlob(f"blob {digest} is not in the store", hint=hint)


class _VerifyingReader(io.RawIOBase):
    """Hashes what passes through; tells at the end of the file, once."""

    def __init__(self, blobs: Blobs, digest: str, file: io.FileIO) -> None:
        super().__init__()
        self._blobs, self._digest, self._file = blobs, digest, file
        self._hash = hashlib.sha256()
        self._done = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        with store_errors(f"read blob {self._digest}"):
            count = self._file.readinto(buffer) or 0
        if count:
            self._hash.update(memoryview(buffer)[:count])
        elif len(buffer) and not self._done:
            self._finish()
        return count

    def _finish(self) -> None:
        self._done = True
        if "sha256:" + self._hash.hexdigest() != self._digest:
            raise self._blobs.reject(self._digest, self._file)
        self._blobs.believe(self._digest)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # A tar or gzip reader stops at its own end mark; what follows belongs to the digest too.
            while error is None and not self._done and self.read(CHUNK):
                pass
        finally:
            self.close()

    def close(self) -> None:
        self._file.close()
        super().close()


class Ingest:
    """One blob on its way in. See `Blobs.ingest`."""

    def __init__(self, blobs: Blobs, path: str, expected: int | None, hashed: bool) -> None:
        self._blobs, self._path, self._expected = blobs, path, expected
        self._hash = hashlib.sha256() if hashed else None
        self._size = 0
        with store_errors("stage a blob"):
            self._fd = create(path)

    def write(self, chunk: bytes | memoryview) -> int:
        """Write all of `chunk`. A full disk is a StoreError and leaves nothing behind."""
        length = len(chunk) if isinstance(chunk, bytes) else chunk.nbytes
        if self._expected is not None and self._size + length > self._expected:
            raise DocumentError(f"a blob of {self._expected} bytes goes on after them")
        try:
            write_all(self._fd, chunk)
        except OSError as error:
            self.abort()
            raise self._fault(error, length) from error
        if self._hash:
            self._hash.update(chunk)
        self._size += length
        return length

    def fileno(self) -> int:
        if self._hash:
            raise io.UnsupportedOperation("bytes written to the descriptor would not be hashed")
        return self._fd

    def flush(self) -> None:
        """Nothing is buffered; here so that any code which writes to files can write to this."""

    def commit(self, media_type: str = OCTETS, digest: str | None = None, size: int | None = None) -> Descriptor:
        """Publish what was written. Success means that the blob is complete and on the disk.

        DocumentError, and no blob, if it has not the expected digest and size.
        """
        try:
            os.fsync(self._fd)
            written = os.fstat(self._fd).st_size
        except OSError as error:
            self.abort()
            raise self._fault(error, 0) from error
        found = self._checked(written, digest, size)
        with store_errors(f"publish blob {found}"):
            self._blobs.publish(self._path, found)
        os.close(self._fd)
        self._fd = -1
        return Descriptor(media_type, found, written)

    def abort(self) -> None:
        """Forget what was written; nothing after `commit`."""
        if self._fd >= 0:
            with suppress(OSError):
                os.unlink(self._path)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Ingest:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def _checked(self, written: int, digest: str | None, size: int | None) -> str:
        found = "sha256:" + self._hash.hexdigest() if self._hash else parse_digest(digest)
        if size is not None and written != size:
            raise DocumentError(f"blob {digest or found} has {written} bytes, not {size}")
        if digest is not None and found != parse_digest(digest):
            raise DocumentError(f"expected blob {digest}, the bytes are {found}")
        return found

    def _fault(self, error: OSError, length: int) -> StoreError:
        announced = f" of {self._expected}" if self._expected is not None else ""
        return store_error(f"write {self._size + length}{announced} bytes to the store {self._blobs.root}", error)
