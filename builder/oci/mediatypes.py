"""Media types: OCI v1 is what we write; Docker's schema 2 is read as well."""

from __future__ import annotations

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = LAYER + "+gzip"
LAYER_ZSTD = LAYER + "+zstd"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"
DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

MANIFESTS = frozenset((MANIFEST, DOCKER_MANIFEST))
INDEXES = frozenset((INDEX, DOCKER_INDEX))
CONFIGS = frozenset((CONFIG, DOCKER_CONFIG))

_NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
_COMPRESSION = {
    LAYER: "none",
    LAYER_GZIP: "gzip",
    LAYER_ZSTD: "zstd",
    DOCKER_LAYER: "none",
    DOCKER_LAYER_GZIP: "gzip",
    DOCKER_LAYER_ZSTD: "zstd",
    DOCKER_FOREIGN: "gzip",
    _NONDISTRIBUTABLE: "none",
    _NONDISTRIBUTABLE + "+gzip": "gzip",
    _NONDISTRIBUTABLE + "+zstd": "zstd",
}


def may_be_absent(media_type: str) -> bool:
    """True for layers whose bytes need not be with the image (nondistributable, "foreign")."""
    return media_type == DOCKER_FOREIGN or media_type.startswith(_NONDISTRIBUTABLE)


def layer_type(compression: str) -> str:
    """The media type that we give a layer compressed with "none", "gzip" or "zstd"."""
    return {"none": LAYER, "gzip": LAYER_GZIP, "zstd": LAYER_ZSTD}[compression]


def oci_equivalent(media_type: str) -> str:
    """The OCI type for the same bytes; other types unchanged. Blobs need no change for it."""
    if media_type == DOCKER_FOREIGN:
        return media_type
    if media_type in (DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD):
        return layer_type(_COMPRESSION[media_type])
    return {DOCKER_MANIFEST: MANIFEST, DOCKER_INDEX: INDEX, DOCKER_CONFIG: CONFIG}.get(media_type, media_type)
