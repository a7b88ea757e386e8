"""A registry without a network, for tests of who asks it when: another store, and a record of the questions."""

from __future__ import annotations

from collections.abc import Callable

from builder.errors import NetworkError, RegistryError
from builder.oci.descriptor import Descriptor
from builder.oci.platform import Platform
from builder.oci.reference import Reference, parse_reference
from builder.store.images import choose_manifest, describe_document, read_manifest
from builder.store.store import Store


class FakeRemote:
    """What it has is tagged in `far`; it brings documents and layers to `near`. Set `down` and nobody answers."""

    reachable = True

    def __init__(self, far: Store, near: Store) -> None:
        self.far = far
        self.near = near
        self.down = False
        self.questions: list[str] = []

    def qualify(self, text: str) -> Reference:
        return parse_reference(text).or_latest()

    def digest(self, reference: Reference) -> str | None:
        self._ask("HEAD", reference)
        found = self.far.tags.get(str(reference))
        return found.digest if found else None

    def documents(self, reference: Reference, platform: Platform) -> Descriptor:
        self._ask("GET", reference)
        found = self.far.tags.get(str(reference))
        if reference.digest:
            found = describe_document(self.far.blobs, reference.digest)
        if found is None:
            raise RegistryError(f"{reference.familiar()}: no such image")
        self._copy(found)
        self._complete(found, platform)
        self.near.tags.set(str(reference), found)
        return found

    def rest(self, reference: Reference, root: Descriptor, platform: Platform) -> None:
        self._ask("REST", reference)
        self._complete(root, platform)

    def layer(self, reference: Reference, layer: Descriptor, moved: Callable[[str, int, int], None]) -> None:
        self._ask(f"GET {layer.digest} of", reference)
        self._copy(layer)
        moved(layer.digest, layer.size, layer.size)

    def _complete(self, root: Descriptor, platform: Platform) -> None:
        chosen = choose_manifest(self.far.blobs, root, platform)
        self._copy(chosen)
        self._copy(read_manifest(self.far.blobs, chosen).config)

    def _copy(self, descriptor: Descriptor) -> None:
        with self.far.blobs.open(descriptor.digest) as blob:
            self.near.blobs.put(blob, descriptor.media_type, descriptor.digest, descriptor.size)

    def _ask(self, what: str, reference: Reference) -> None:
        self.questions.append(f"{what} {reference.familiar()}")
        if self.down:
            raise NetworkError(f"{reference.domain}: connection refused")

    def settle(self) -> None: ...

    def close(self) -> None: ...
