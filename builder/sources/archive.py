"""Image archives and layouts → the store: what `rbuild load` does.

    archive ─► contents (three documents in memory, the rest as blobs in the store) ─► images ─► tags

Bytes that the archive names by digest are verified while they are stored; nothing is ever unpacked.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import ArchiveError, DocumentError, NotFound
from builder.oci.reference import parse_reference
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.oci.descriptor import Descriptor
    from builder.store.store import Store


class Loaded(NamedTuple):
    """`name` is the full reference that was tagged, or "" if the archive gives the image no name."""

    name: str
    descriptor: Descriptor


def load(path: str, store: Store, stdin: BinaryIO | None = None, name: str | None = None) -> tuple[Loaded, ...]:
    """Load every image of an OCI layout directory, an OCI archive or a `docker save` archive.

    `path` "-" reads an archive from `stdin` (the process's own if None). With `name`, the one image of
    the archive gets that tag in place of those that it has. ArchiveError if the archive is damaged,
    hostile or no image archive; tags are set last, so that a failure changes none.
    """
    wanted = str(parse_reference(name).or_latest()) if name is not None else None
    with archive_errors("standard input" if path == "-" else path):
        images = _images(path, store, stdin)
        if wanted is not None:
            images = _renamed(images, wanted)
        if not images:
            raise ArchiveError("there is no image in it")
    for image in images:
        if image.name:
            store.tags.set(image.name, image.descriptor)
    return images


@contextmanager
def archive_errors(path: str) -> Iterator[None]:
    """Name the archive in whatever is wrong with it."""
    try:
        yield
    except (ArchiveError, DocumentError) as error:
        raise ArchiveError(f"{path}: {error.message}", hint=error.hint) from error
    except NotFound as error:
        raise NotFound(f"{path}: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise ArchiveError(f"cannot read {path}: {error.strerror or error}") from error


def _images(path: str, store: Store, stdin: BinaryIO | None) -> tuple[Loaded, ...]:
    from builder.sources import docker_archive, oci_layout
    from builder.sources.contents import read_tar

    if path != "-" and os.path.isdir(path):
        found = oci_layout.from_directory(path, store.blobs)
    else:
        with _opened(path, stdin) as stream:
            contents = read_tar(stream, store.blobs)
        if "index.json" in contents.documents:
            found = oci_layout.from_archive(contents, store.blobs)
        elif "manifest.json" in contents.documents:
            found = docker_archive.from_archive(contents, store.blobs)
        else:
            raise ArchiveError(
                "neither index.json nor manifest.json is in it, so it is no image archive",
                hint="ADD puts a root file system into an image; load takes OCI and docker-save archives",
            )
    return tuple(Loaded(name, descriptor) for name, descriptor in found)


@contextmanager
def _opened(path: str, stdin: BinaryIO | None) -> Iterator[BinaryIO]:
    if path != "-":
        with open(path, "rb") as file:
            yield file
    elif stdin is not None:
        yield stdin
    else:
        with open(0, "rb", closefd=False) as file:
            yield file


def _renamed(images: tuple[Loaded, ...], name: str) -> tuple[Loaded, ...]:
    if len({image.descriptor.digest for image in images}) > 1:
        known = ", ".join(image.name or image.descriptor.digest for image in images)
        raise ArchiveError(f"it holds several images, one name cannot be given to all: {known}")
    return tuple(Loaded(name, image.descriptor) for image in images[:1])
