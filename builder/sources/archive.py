"""Image archives and layouts → the store: what `rbuild load` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from builder.oci.descriptor import Descriptor
    from builder.store.store import Store


class Loaded(NamedTuple):
    """`name` is the full reference that was tagged, or "" if the archive gives the image no name."""

    name: str
    descriptor: Descriptor


def load(
    path: str, store: Store, stdin: BinaryIO | None = None, name: str | None = None
) -> tuple[Loaded, ...]:
    """Load every image of an OCI layout directory, an OCI archive or a `docker save` archive.

    `path` "-" reads an archive from `stdin` (the process's own if None). With `name`, the one image of
    the archive gets that tag in place of those that it has.
    """
    raise NotImplementedError
