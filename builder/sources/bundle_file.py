"""One bundle, opened: every byte of it has been verified before anything of it is used.

headers ─► index.json ─► bundle document ─► what must be here, and what that is called
                                          ─► every blob: size and SHA-256
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import ArchiveError, DocumentError, NotFound
from builder.oci import mediatypes
from builder.oci.bundle import DOCUMENT, Bundle, parse_bundle
from builder.oci.bundle_layout import NOTHING, artifacts, index_of, is_document, manifest_of
from builder.oci.descriptor import Descriptor, describe
from builder.oci.digest import sha256_of
from builder.oci.index import parse_index
from builder.oci.manifest import parse_manifest
from builder.sources.layout_files import open_layout
from builder.store.blobs import DOCUMENT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from builder.sources.layout_files import LayoutFiles, Part

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_CHUNK = 1 << 20


class BundleFile:
    """`identity` is the digest of the bundle document's manifest: what a bundle that stands on this one names.

    `files` are its members by name, the documents of the layout included.
    """

    def __init__(self, path: str, files: LayoutFiles, bundle: Bundle, identity: str) -> None:
        self.path = path
        self.bundle = bundle
        self.identity = identity
        self.files = files

    def has(self, digest: str) -> bool:
        return _member(digest) in self.files.sizes

    def open(self, digest: str) -> Part:
        """Its bytes. They were right when the bundle was opened: whoever keeps them looks again."""
        return self.files.open(_member(digest))

    def close(self) -> None:
        self.files.close()


def open_bundle(path: str, *, verify: bool = True) -> BundleFile:
    """The bundle in a file or directory. ArchiveError names the part that is not what it should be.

    Without `verify` only the documents are looked at: enough to tell what is in it.
    """
    with _named(path):
        files = open_layout(path)
        try:
            found = _read(path, files)
            _check_parts(files, found.bundle)
            if verify:
                _verify(files)
            _check_sources(found)
        except BaseException:
            files.close()
            raise
    return found


@contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except (ArchiveError, DocumentError) as error:
        raise ArchiveError(f"bundle {path}: {error.message}", hint=error.hint or _BROKEN) from error
    except FileNotFoundError:
        raise NotFound(f"bundle {path}: there is no such file", hint="rbuild bundle -o FILE.tar makes one") from None
    except OSError as error:
        raise ArchiveError(f"bundle {path}: {error.strerror or error}") from error


_BROKEN = "nothing of it was used; copy or make it again"


def _read(path: str, files: LayoutFiles) -> BundleFile:
    if _document(files, "oci-layout") != LAYOUT:
        raise ArchiveError("oci-layout is altered")
    index = _document(files, "index.json")
    try:
        entries = parse_index(index).manifests
    except DocumentError as error:
        raise ArchiveError(f"index.json is altered: {error.message}", hint=error.hint) from error
    entry = next((each for each in entries if is_document(each)), None)
    if entry is None:
        raise ArchiveError("an OCI layout, but no bundle: index.json names no bundle document", hint=_NO_BUNDLE)
    manifest = _blob(files, entry)
    described = parse_manifest(manifest).layers
    if len(described) != 1 or described[0].media_type != DOCUMENT:
        raise ArchiveError(f"{entry.digest} is not the manifest of a bundle document")
    bundle = parse_bundle(_blob(files, described[0]))
    if manifest_of(bundle) != manifest or index_of(bundle) != index:
        raise ArchiveError("index.json is altered: it is not that of the bundle document")
    return BundleFile(path, files, bundle, entry.digest)


_NO_BUNDLE = "rbuild load takes it, if it holds images"


def _document(files: LayoutFiles, name: str) -> bytes:
    if name not in files.sizes:
        raise ArchiveError(f"{name} is missing")
    if files.sizes[name] > DOCUMENT_LIMIT:
        raise ArchiveError(f"{name} is too long: {files.sizes[name]} bytes")
    with files.open(name) as part:
        return part.read()


def _blob(files: LayoutFiles, blob: Descriptor) -> bytes:
    """A small blob of which the digest is checked at once."""
    name = _member(blob.digest)
    if name not in files.sizes:
        raise ArchiveError(f"blob {blob.digest} is missing")
    content = _document(files, name)
    if (found := sha256_of(content)) != blob.digest:
        raise _altered(blob.digest, found)
    return content


def _check_parts(files: LayoutFiles, bundle: Bundle) -> None:
    """Exactly the blobs that the document announces are here, each as long as it says."""
    expected = {_member(digest): size for digest, size in expected_blobs(bundle).items()}
    for name, size in expected.items():
        digest = name.removeprefix("blobs/").replace("/", ":")
        if name not in files.sizes:
            raise ArchiveError(f"blob {digest} is missing ({size} bytes)")
        if files.sizes[name] != size:
            raise ArchiveError(f"blob {digest} has {files.sizes[name]} bytes, the bundle document says {size}")
    if strange := sorted(set(files.sizes) - set(expected) - {"oci-layout", "index.json"}):
        raise ArchiveError(f"{strange[0]} is not in the bundle document")


def expected_blobs(bundle: Bundle) -> dict[str, int]:
    """Sizes by digest of all blobs that lie in the bundle itself, its own documents included."""
    own = (bundle.encode(), manifest_of(bundle), NOTHING)
    return {**dict(bundle.blobs), **{sha256_of(content): len(content) for content in own}}


def _verify(files: LayoutFiles) -> None:
    from concurrent.futures import ThreadPoolExecutor

    names = [name for name in files.sizes if name.startswith("blobs/")]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="verify") as pool:
        for name, found in zip(names, pool.map(lambda name: _hash(files, name), names), strict=True):
            digest = name.removeprefix("blobs/").replace("/", ":")
            if found != digest:
                raise _altered(digest, found)


def _hash(files: LayoutFiles, name: str) -> str:
    hasher = hashlib.sha256()
    with files.open(name) as part:
        while block := part.read(_CHUNK):
            hasher.update(block)
    return "sha256:" + hasher.hexdigest()


def _altered(digest: str, found: str) -> ArchiveError:
    return ArchiveError(f"blob {digest} is altered: its bytes are {found}")


def _check_sources(found: BundleFile) -> None:
    """Whatever a source consists of is announced, here or elsewhere."""
    bundle = found.bundle
    sizes: Mapping[str, int] = {**dict(bundle.elsewhere), **dict(bundle.blobs)}
    for image in bundle.images:
        _announced(sizes, image.root)
        _announced(sizes, image.manifest)
        if found.has(image.manifest.digest):
            manifest = parse_manifest(_blob(found.files, image.manifest), image.manifest.media_type)
            _announced(sizes, manifest.config)
            for layer in manifest.layers:
                if not mediatypes.may_be_absent(layer.media_type):
                    _announced(sizes, layer)
    for source in bundle.others:
        _announced(sizes, source.blob)
    for raw in artifacts(bundle).values():
        _announced(sizes, describe(mediatypes.MANIFEST, raw))


def _announced(sizes: Mapping[str, int], blob: Descriptor) -> None:
    if sizes.get(blob.digest) != blob.size:
        raise ArchiveError(f"blob {blob.digest} of {blob.size} bytes is needed, the bundle document has no such blob")


def _member(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
