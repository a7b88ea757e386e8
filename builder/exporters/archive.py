"""Archives: type=oci (an OCI layout in a tar), and type=docker (the same with Docker's manifest.json).

    oci-layout · index.json · [manifest.json] · blobs/ · blobs/sha256/ · blobs/sha256/<hex>… sorted

`docker save` has written this form since 25; older Docker, podman and skopeo find all they need
through manifest.json.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, BinaryIO

from builder.exporters.destination import destination
from builder.exporters.layout import LAYOUT, entries
from builder.exporters.tarstream import TarStream
from builder.oci.index import Index
from builder.oci.platform import host
from builder.store.images import choose_manifest, closure, read_config, read_manifest

if TYPE_CHECKING:
    from builder.exporters.exporter import StoredImage


class ArchiveExporter:
    def __init__(self, dest: str, *, docker: bool) -> None:
        self._dest = dest
        self._docker = docker

    def export(self, image: StoredImage, stdout: BinaryIO) -> None:
        if self._docker:
            # Docker's manifest.json has no word for platforms.
            image = image._replace(manifest=choose_manifest(image.blobs, image.manifest, host()))
        blobs = closure(image.blobs, image.manifest)
        with destination(self._dest, stdout) as out:
            archive = TarStream(out)
            archive.add_bytes("oci-layout", LAYOUT)
            archive.add_bytes("index.json", Index(entries(image)).encode())
            if self._docker:
                archive.add_bytes("manifest.json", docker_manifest(image))
            archive.add_directory("blobs/")
            archive.add_directory("blobs/sha256/")
            for blob in sorted(blobs, key=lambda blob: blob.digest):
                archive.add_blob(_member(blob.digest), image.blobs, blob)
            archive.finish()


def docker_manifest(image: StoredImage) -> bytes:
    """manifest.json of `docker save`: where the config and layers are, lowest first, and the names."""
    manifest = read_manifest(image.blobs, image.manifest)
    read_config(image.blobs, manifest)
    names = (name.or_latest()._replace(digest="") for name in image.names)
    described = {
        "Config": _member(manifest.config.digest),
        "RepoTags": [name.familiar() for name in names if name.tag],
        "Layers": [_member(layer.digest) for layer in manifest.layers],
    }
    return json.dumps([described], separators=(",", ":"), ensure_ascii=False).encode()


def _member(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
