"""An image or an index of the store into a repository: what is there already is not sent, documents come last."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.errors import BuildError, Cancelled, RegistryError, StoreError, UsageError
from builder.events import StepTransfer
from builder.oci import mediatypes
from builder.oci.index import parse_index
from builder.oci.reference import parse_reference
from builder.registry.destination import Destination
from builder.registry.pull import silent, told
from builder.registry.upload import ANY_REFUSAL, MOUNTED, PRESENT, UPLOADED, Upload
from builder.store.blobs import missing
from builder.store.images import closure, read_manifest
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.events import Emit
    from builder.oci.descriptor import Descriptor
    from builder.oci.reference import Reference
    from builder.registry.endpoint import Endpoint
    from builder.registry.registry import Registry
    from builder.store.store import Store

PARALLEL = 4
_DEPTH = 4


class Pushed(NamedTuple):
    """How many blobs were sent, mounted from another repository, or there already; `sent` counts bytes."""

    digest: str
    uploaded: int = 0
    mounted: int = 0
    present: int = 0
    sent: int = 0


def push(
    registry: Registry,
    reference: Reference,
    store: Store,
    descriptor: Descriptor,
    *,
    provide: Callable[[Descriptor], None] | None = None,
    lent: str = "",
    parallel: int = PARALLEL,
    emit: Emit = silent,
) -> Pushed:
    """Success means that the registry has all of the image, under the tag or else the digest of `reference`.

    `provide` is asked for blobs that the store lacks and the registry does not have; `lent` is a repository of the
    same registry that has them all. Raises AuthError, NetworkError, RegistryError, StoreError.
    """
    if reference.digest not in ("", descriptor.digest):
        raise UsageError(f"{reference}: the image is {descriptor.digest}", hint="leave the digest away, or name a tag")
    documents, blobs = _parts(store, descriptor)
    endpoint = registry.routes.push(reference)

    def lenders() -> dict[str, str]:
        return dict.fromkeys((blob.digest for blob in blobs), lent) if lent else _lenders(store, endpoint)

    def moved(digest: str, current: int, total: int) -> None:
        emit(StepTransfer(time.monotonic(), f"push {reference}", digest, current, total))

    with told(emit, f"push {reference}", "", f"[push] {reference.familiar()}"):
        destination = Destination(registry, endpoint, store.blobs, provide or _needed(store), lenders, moved)
        uploads = [Upload(destination, blob) for blob in blobs]
        outcomes = _all(destination, uploads, parallel)
        for document in documents[:-1]:
            _put(destination, store, document, document.digest)
        _put(destination, store, documents[-1], reference.tag or documents[-1].digest)
    uploaded, mounted, present = (outcomes.count(outcome) for outcome in (UPLOADED, MOUNTED, PRESENT))
    return Pushed(descriptor.digest, uploaded, mounted, present, sum(upload.spent for upload in uploads))


def _parts(store: Store, root: Descriptor) -> tuple[list[Descriptor], list[Descriptor]]:
    """Documents, those that others name first, and blobs, each once. Layers that others may not have stay here."""
    documents: dict[str, Descriptor] = {}
    blobs: dict[str, Descriptor] = {}
    _visit(store, root, documents, blobs, _DEPTH)
    return list(documents.values()), list(blobs.values())


def _visit(
    store: Store, node: Descriptor, documents: dict[str, Descriptor], blobs: dict[str, Descriptor], depth: int
) -> None:
    if node.digest in documents:
        return
    if node.media_type in mediatypes.INDEXES and depth:
        for child in parse_index(store.blobs.read(node), node.media_type).manifests:
            _check_child(store, child)
            _visit(store, child, documents, blobs, depth - 1)
    elif node.media_type in mediatypes.MANIFESTS:
        manifest = read_manifest(store.blobs, node)
        blobs[manifest.config.digest] = manifest.config
        for layer in manifest.layers:
            if store.blobs.has(layer.digest) or not mediatypes.may_be_absent(layer.media_type):
                blobs[layer.digest] = layer
    else:
        raise RegistryError(
            f"{node.digest} is {node.media_type}: not a manifest or an index", hint="nothing was pushed"
        )
    documents[node.digest] = node


def _check_child(store: Store, child: Descriptor) -> None:
    if not store.blobs.has(child.digest):
        which = f"its image for {child.platform}" if child.platform else f"{child.digest}, which it lists,"
        raise StoreError(
            f"the index cannot be pushed whole: {which} is not in the store",
            hint="--platform OS/ARCH pushes the image of one platform; rbuild pull --all-platforms brings them all",
        )


def _needed(store: Store) -> Callable[[Descriptor], None]:
    def provide(blob: Descriptor) -> None:
        if not store.blobs.has(blob.digest):
            raise missing(blob.digest)
        size = os.path.getsize(store.blobs.path(blob.digest))
        if size != blob.size:
            raise StoreError(f"blob {blob.digest} has {size} bytes, not the {blob.size} that its image announces")

    return provide


def _lenders(store: Store, endpoint: Endpoint) -> dict[str, str]:
    """Blob → a repository of the same registry that should have it: the store knows images by where they came from."""
    found: dict[str, str] = {}
    for name, descriptor in store.tags.all():
        with suppress(BuildError):  # a tag that is no reference, or an image that is not whole, lends nothing
            reference = parse_reference(name)
            if reference.domain == endpoint.registry and reference.path != endpoint.repository:
                for blob in closure(store.blobs, descriptor):
                    found.setdefault(blob.digest, reference.path)
    return found


def _all(destination: Destination, uploads: Sequence[Upload], parallel: int) -> list[str]:
    """What became of each. The first failure stops the others."""
    from concurrent.futures import ThreadPoolExecutor

    def run(upload: Upload) -> str:
        try:
            return upload.run()
        except BaseException:
            destination.stopped = True
            raise

    with ThreadPoolExecutor(parallel, thread_name_prefix="push") as pool:
        running = [pool.submit(run, upload) for upload in uploads]
        faults = [fault for future in running if (fault := future.exception()) is not None]
    if faults:
        raise next((fault for fault in faults if not isinstance(fault, Cancelled)), faults[0])
    return [future.result() for future in running]


def _put(destination: Destination, store: Store, document: Descriptor, name: str) -> None:
    """Store a document under a tag or its digest, unless that is what the registry has there."""
    step = f"PUT manifest {destination.endpoint.repository}{'@' if ':' in name else ':'}{name}"
    place = f"manifests/{name}"

    def known() -> bool:
        accept = {"Accept": document.media_type}
        with destination.ask("HEAD", place, step, accept, accept=(200, *ANY_REFUSAL)) as answer:
            return answer.status == 200 and answer.headers.get("docker-content-digest") == document.digest

    def put() -> None:
        content = store.blobs.read(document)
        headers = {"Content-Type": document.media_type, "Content-Length": str(len(content))}
        with destination.ask("PUT", place, step, headers, content, (200, 201, 202)) as answer:
            if answer.status != 201 and not {"location", "docker-content-digest"} & answer.headers.keys():
                raise destination.refusal(answer, step)
            stored = answer.headers.get("docker-content-digest", document.digest)
        if stored != document.digest:
            raise RegistryError(
                f"{destination.name}: {step}: the registry stored {stored}, not the {document.digest} that was sent",
                hint="the registry, or a proxy before it, rewrites manifests: this image cannot be kept there",
            )

    if not destination.client.persist(known):
        destination.client.persist(put)
