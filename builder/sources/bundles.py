"""The bundles of a build: asked before the store and the network, they answer with what was put into them.

    resolver ─ image(name, platform) ─┐
    fetcher  ─ file(url)             ─┼─► the newest bundle that has it ─► blobs and trees of the store
    fetcher  ─ checkout(remote, ref) ─┘

A bundle counts for the builds that name it: no tag is set, and no address is remembered.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.dockerfile.gitref import redacted
from builder.errors import ArchiveError, DocumentError, NotFound
from builder.layers.tree import DIFF, create_tree
from builder.oci.reference import parse_reference
from builder.sources.bundle_file import open_bundle
from builder.sources.fetched import COMMITTED, Fetched, checkout_content, checkout_tree, file_content, file_tree
from builder.store.blobs import DOCUMENT_LIMIT
from builder.store.files import create, write_all
from builder.store.images import read_manifest
from builder.store.paths import store_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.oci.bundle import CheckoutSource, FileSource, ImageSource, StepsSource
    from builder.oci.descriptor import Descriptor
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from builder.snapshots.convert import Packing
    from builder.sources.bundle_file import BundleFile
    from builder.sources.git import Wanted
    from builder.sources.layout_files import Part
    from builder.store.store import Store

_CHUNK = 1 << 20


class Bundles:
    """Opens and verifies all at once. Close it: it holds descriptors. Its methods may be called from any thread."""

    def __init__(self, paths: Sequence[str], store: Store) -> None:
        self._store = store
        self._files: list[BundleFile] = []
        try:
            for path in paths:
                self._files.append(open_bundle(path))
        except BaseException:
            self.close()
            raise
        self._files = newest_first(self._files)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def find(self, reference: Reference, platform: Platform) -> Descriptor | None:
        """What the reference stands for, its blobs brought into the store; None where no bundle has it.

        By its digest a manifest is found as well as the index that it is in.
        """
        wanted, name = str(platform.normal()), str(reference._replace(digest=""))
        for file in self._files:
            for image in file.bundle.images:
                if str(image.platform) == wanted and name in _full_names(image):
                    for found in (image.root, image.manifest):
                        if reference.digest in ("", found.digest):
                            self._bring_image(image, file)
                            return found.plain()
        return None

    def file(self, url: str, checksum: str = "") -> Fetched | None:
        """The download, of `checksum` (sha256:…) if one is given; None where no bundle has it."""
        shown = redacted(url)
        for file in self._files:
            for source in file.bundle.files:
                if source.url == shown and checksum in ("", source.blob.digest):
                    return self._file(url, source, file)
        return None

    def checkout(self, wanted: Wanted, pinned: str = "") -> Fetched | None:
        """The checkout, of the commit `pinned` if there is one; None where no bundle has it."""
        from builder.sources.git import clean_subdir

        wanted = wanted._replace(subdir=clean_subdir(wanted.subdir), remote=redacted(wanted.remote))
        commit = wanted.checksum.lower()
        for file in self._files:
            for one in file.bundle.checkouts:
                if _suits(one, wanted) and one.commit.startswith(commit) and one.commit.startswith(pinned):
                    return self._checkout(one, file)
        return None

    def adopt(self, keys: Sequence[str], packing: Packing) -> bool:
        """Let the store know the steps of these keys, if a bundle has all of them packed like this; whether it has."""
        from builder.snapshots.cached import adopt, parse_steps

        for file in self._files:
            for source in file.bundle.steps:
                steps = parse_steps(self._document(source, file))
                if [step.key for step in steps] == keys and all(step.packing == packing for step in steps):
                    for step in steps:
                        self._bring(step.layer.descriptor, f"a cached step of {source.stage}", file)
                    adopt(self._store, steps)
                    return True
        return False

    def _document(self, source: StepsSource, file: BundleFile) -> bytes:
        with self._open(source.blob, f"the cached steps of {source.stage}", file) as part:
            reader = _Verified(part, source.blob.digest, file)
            content = reader.read(DOCUMENT_LIMIT)
        reader.check()
        return content

    def _bring_image(self, image: ImageSource, file: BundleFile) -> None:
        shown = image.reference or image.names[0]
        for document in dict.fromkeys((image.root.plain(), image.manifest.plain())):
            self._bring(document, shown, file)
        manifest = read_manifest(self._store.blobs, image.manifest)
        for blob in (manifest.config, *manifest.layers):
            self._bring(blob, shown, file)

    def _file(self, url: str, source: FileSource, file: BundleFile) -> Fetched:
        from builder.dockerfile.remote_source import file_name

        name = file_name(url)
        content = file_content(source.blob.digest[7:], name, source.time)
        tree = file_tree(content)
        place = self._store.trees.path("sources", "both", tree)
        moved = not os.path.isdir(place)
        if moved:
            with self._store.trees.scratch("download") as staged:
                create_tree(staged)
                self._write(f"{staged}/{DIFF}/{name}", source, file)
                place = self._store.trees.publish(staged, "sources", "both", tree)
        return Fetched(place, content, source.time, name, moved, source.blob.size if moved else 0)

    def _write(self, path: str, source: FileSource, file: BundleFile) -> None:
        with self._open(source.blob, source.url, file) as part, store_errors(f"keep {source.url}"):
            reader = _Verified(part, source.blob.digest, file)
            descriptor = create(path, 0o600)
            try:
                while block := reader.read(_CHUNK):
                    write_all(descriptor, block)
            finally:
                os.close(descriptor)
        reader.check()
        os.utime(path, (source.time or 0, source.time or 0))

    def _checkout(self, one: CheckoutSource, file: BundleFile) -> Fetched:
        kept = (one.remote, one.name) if one.keep_git_dir else ()
        content = checkout_content(one.commit, one.subdir, one.submodules, one.commit_times, kept)
        tree = checkout_tree(content)
        place = self._store.trees.path("sources", "both", tree)
        moved = not os.path.isdir(place)
        if moved:
            with self._store.trees.scratch("checkout") as staged:
                self._unpack(one, staged, file)
                place = self._store.trees.publish(staged, "sources", "both", tree)
        return Fetched(place, content, one.time, moved=moved)

    def _unpack(self, one: CheckoutSource, staged: str, file: BundleFile) -> None:
        """As git leaves it: all of root, dated now unless its commit was to date it."""
        from builder.layers.unpack import unpack
        from builder.sources.git_checkout import date
        from builder.sources.restored import restore_modes

        with self._open(one.blob, one.remote, file) as part:
            reader = _Verified(part, one.blob.digest, file)
            unpack(reader, staged, owners="recorded", whiteouts="literal")
        reader.check()
        restore_modes(f"{staged}/{DIFF}")
        if not one.commit_times:
            date(f"{staged}/{DIFF}", int(time.time()))
        if one.time is not None:
            with open(f"{staged}/{COMMITTED}", "w") as out:
                out.write(str(one.time))

    def _bring(self, blob: Descriptor, shown: str, file: BundleFile) -> None:
        if not self._store.blobs.has(blob.digest):
            with self._open(blob, shown, file) as part:
                self._store.blobs.put(part, blob.media_type, blob.digest, blob.size)

    def _open(self, blob: Descriptor, shown: str, asked: BundleFile) -> Part:
        """A blob of the bundle `asked`, which may lie in one that it stands on."""
        for file in (asked, *self._files):
            if file.has(blob.digest):
                return file.open(blob.digest)
        raise NotFound(
            f"bundle {asked.path}: blob {blob.digest} of {shown} is neither in it nor in the store",
            hint=f"it holds only what the bundle {asked.bundle.base} lacks: give that one too, with one more --bundle",
        )


def _full_names(image: ImageSource) -> list[str]:
    """All that it is called, in full and without digest; the name of a context may be none of an image."""
    found = []
    for name in (*image.names, image.reference):
        with suppress(DocumentError):
            found.append(str(parse_reference(name).or_latest()._replace(digest="")))
    return found


def newest_first(files: Sequence[BundleFile]) -> list[BundleFile]:
    """A bundle before those that it stands on; of others, the one that was named last is first."""
    known = {file.identity: file for file in files}

    def depth(file: BundleFile) -> int:
        seen = {file.identity}
        while (base := known.get(file.bundle.base)) and base.identity not in seen:
            seen.add(base.identity)
            file = base
        return len(seen)

    order = sorted(range(len(files)), key=lambda number: (-depth(files[number]), -number))
    return [files[number] for number in order]


def _suits(one: CheckoutSource, wanted: Wanted) -> bool:
    """Whether it is the checkout that is asked for, by its ref or, where no name of a ref is kept, by its commit."""
    same = (one.remote, one.subdir, one.keep_git_dir, one.submodules, one.commit_times)
    asked = (wanted.remote, wanted.subdir, wanted.keep_git_dir, wanted.submodules, wanted.commit_times)
    by_commit = wanted.ref == one.commit and not (one.keep_git_dir and one.name)
    return same == asked and (wanted.ref == one.ref or by_commit)


class _Verified:
    """Hashes what is read once more: the file may have changed since it was opened."""

    def __init__(self, part: Part, digest: str, file: BundleFile) -> None:
        self._part, self._digest, self._file = part, digest, file
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        block = self._part.read(size)
        self._hash.update(block)
        return block

    def check(self) -> None:
        """Raises unless all bytes were read and are right."""
        if "sha256:" + self._hash.hexdigest() != self._digest:
            raise ArchiveError(f"bundle {self._file.path}: blob {self._digest} was changed while it was used")
