"""Plans and their layers → images → the result: a manifest, or the index of one for each platform. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import UsageError
from builder.oci.assemble import assemble, assemble_index
from builder.oci.descriptor import describe
from builder.sources import epoch
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.dockerfile.state import Plan
    from builder.oci.annotations import Annotations
    from builder.oci.assemble import Image, Layer
    from builder.oci.config import ImageConfig
    from builder.oci.descriptor import Descriptor
    from builder.oci.platform import Platform


class Built(NamedTuple):
    """What a build made: one image for each platform, and the descriptor of the manifest or index that is the result.

    `index_bytes` are empty where there is no index.
    """

    images: tuple[Image, ...]
    result: Descriptor
    index_bytes: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of all layers and documents."""
        return sum(image.size for image in self.images) + len(self.index_bytes)

    @property
    def config_digest(self) -> str:
        return "" if self.index_bytes else self.images[0].config.digest


def image_of(plan: Plan, when: int, layers: Sequence[Layer], annotations: Annotations) -> Image:
    """The image of a plan whose own layers are these, on top of those of its base; `when` is in seconds."""
    base = plan.base.layers if plan.base else ()
    config = _dated(plan, when)
    return assemble(config, [*base, *layers], annotations.of("manifest", config.platform))


def _dated(plan: Plan, when: int) -> ImageConfig:
    """The config of the plan, dated: this build's history begins after that of the base."""
    created = epoch.rfc3339(when)
    config = plan.config
    old = len(plan.base.config.whole_history) if plan.base else 0
    told = tuple(entry._replace(created=created) for entry in config.history[old:])
    return config._replace(created=created, history=(*config.history[:old], *told))


def alone(image: Image, annotations: Annotations) -> Built:
    """One image is the result itself. UsageError for annotations of an index that there is not."""
    if annotations.of("index"):
        raise UsageError("--annotation index: there is no index, one platform is built", hint="leave index: away")
    return Built((image,), image.manifest)


def joined(images: Sequence[Image], platforms: Sequence[Platform], annotations: Annotations) -> Built:
    """The index of the images of several platforms."""
    described = []
    for platform, image in zip(platforms, images, strict=True):
        own = annotations.of("manifest-descriptor", platform)
        described.append((image.manifest.annotated(*own) if own else image.manifest, platform))
    index = assemble_index(described, annotations.of("index"))
    raw = index.encode()
    return Built(tuple(images), describe(index.media_type, raw), raw)
