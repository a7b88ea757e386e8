"""Tags: names of images, kept in the layout's index.json as `org.opencontainers.image.ref.name`.

The store keeps full references there, "docker.io/library/golang:1.21". Entries that somebody else put
into the index (skopeo, for one) are kept as they are.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import DocumentError, StoreError
from builder.oci.descriptor import REF_NAME, Descriptor
from builder.oci.index import Index, parse_index
from builder.store.files import locked, read_file, rename_durably, write_file
from builder.store.paths import INDEX, INDEX_LOCK, store_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.store.leases import Lease


class Tags:
    def __init__(self, root: str, lease: Lease) -> None:
        self._root = root
        self._path = f"{root}/{INDEX}"
        self._lease = lease

    def get(self, ref: str) -> Descriptor | None:
        return next((entry for name, entry in self._named() if name == ref), None)

    def all(self) -> tuple[tuple[str, Descriptor], ...]:
        """Every name with what it stands for, sorted by name."""
        return tuple(sorted(self._named(), key=lambda pair: pair[0]))

    def set(self, ref: str, descriptor: Descriptor) -> None:
        """Let `ref` stand for the image from now on. Success means that it is on the disk."""
        entry = descriptor.annotated((REF_NAME, ref))
        if self.get(ref) == entry:
            return
        with self._changed() as index:
            others = tuple(other for other in index.manifests if other.annotation(REF_NAME) != ref)
            self._write(index._replace(manifests=(*others, entry)))

    def remove(self, ref: str) -> bool:
        """Forget the name; False if it was not there. The image's blobs stay."""
        with self._changed() as index:
            others = tuple(entry for entry in index.manifests if entry.annotation(REF_NAME) != ref)
            found = len(others) != len(index.manifests)
            if found:
                self._write(index._replace(manifests=others))
        return found

    def _named(self) -> list[tuple[str, Descriptor]]:
        entries = self._read().manifests
        return [(name, entry) for entry in entries if (name := entry.annotation(REF_NAME))]

    def _read(self) -> Index:
        with store_errors(f"read {self._path}"):
            try:
                return parse_index(read_file(self._path))
            except FileNotFoundError:
                return Index(())
            except DocumentError as error:
                hint = "remove that file: the tags are lost, the cache and all blobs stay"
                raise StoreError(f"{self._path} is damaged: {error.message}", hint=hint) from error

    @contextmanager
    def _changed(self) -> Iterator[Index]:
        """The index as it is while nobody else can change it."""
        with store_errors(f"change {self._path}"), locked(f"{self._root}/{INDEX_LOCK}"):
            yield self._read()

    def _write(self, index: Index) -> None:
        staged = self._lease.staging("index")
        write_file(staged, index.encode(), durable=True)
        rename_durably(staged, self._path)
