"""A base image, looked up: what lowering needs of it to know the config, and execution to know the layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.oci.assemble import Layer
    from builder.oci.config import ImageConfig


class ResolvedImage(NamedTuple):
    """A base image, pinned: `manifest` is the digest of its manifest."""

    name: str
    manifest: str
    config: ImageConfig
    layers: tuple[Layer, ...]
