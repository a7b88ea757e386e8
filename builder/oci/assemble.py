"""Layers + config → Image: the documents of a single-platform image, as bytes and descriptors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import DocumentError
from builder.oci import mediatypes
from builder.oci.descriptor import Descriptor, describe
from builder.oci.index import Index
from builder.oci.manifest import Manifest
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.oci.config import ImageConfig
    from builder.oci.platform import Platform


class Layer(NamedTuple):
    """A layer blob: `descriptor` is of the compressed bytes, `diff_id` of the tar inside."""

    descriptor: Descriptor
    diff_id: str


class Image(NamedTuple):
    manifest: Descriptor
    manifest_bytes: bytes
    config: Descriptor
    config_bytes: bytes
    layers: tuple[Layer, ...]

    @property
    def size(self) -> int:
        """Bytes of all layers and documents."""
        return self.manifest.size + self.config.size + sum(layer.descriptor.size for layer in self.layers)


def assemble(config: ImageConfig, layers: Sequence[Layer], annotations: tuple[tuple[str, str], ...] = ()) -> Image:
    """An OCI image whose config has exactly these layers; config.diff_ids is overwritten.

    DocumentError if the history, where there is one, tells of another number of layers. Layers
    described in Docker's terms get the OCI name of the same type: their bytes do not change.
    """
    told = sum(not entry.empty_layer for entry in config.history)
    if config.history and told != len(layers):
        raise DocumentError(f"history tells of {told} layers, the image has {len(layers)}")
    config_bytes = config._replace(diff_ids=tuple(layer.diff_id for layer in layers)).encode()
    described = describe(mediatypes.CONFIG, config_bytes)
    manifest = Manifest(described, tuple(_oci(layer.descriptor) for layer in layers), annotations=annotations)
    manifest_bytes = manifest.encode()
    descriptor = describe(mediatypes.MANIFEST, manifest_bytes)
    return Image(descriptor, manifest_bytes, described, config_bytes, tuple(layers))


def assemble_index(
    images: Sequence[tuple[Descriptor, Platform]], annotations: tuple[tuple[str, str], ...] = ()
) -> Index:
    """The index of one image for each platform; annotations of a descriptor are kept."""
    entries = (manifest._replace(platform=platform) for manifest, platform in images)
    return Index(tuple(entries), annotations=annotations)


def _oci(layer: Descriptor) -> Descriptor:
    # A layer means the same wherever its bytes came from, so nothing else of its descriptor is kept,
    # except for the places that bytes which may not be with the image come from.
    plain = layer.plain()._replace(media_type=mediatypes.oci_equivalent(layer.media_type))
    return plain._replace(urls=layer.urls) if mediatypes.may_be_absent(layer.media_type) else plain
