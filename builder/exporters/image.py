"""type=image and type=registry: the image by its names, in the store, and in the registries of those names."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, BinaryIO

from builder.events import Exported

if TYPE_CHECKING:
    from builder.events import Emit, Flag
    from builder.exporters.exporter import StoredImage
    from builder.exporters.spec import Output
    from builder.oci.descriptor import Descriptor
    from builder.oci.reference import Reference
    from builder.registry.options import RegistryOptions
    from builder.registry.registry import Registry
    from builder.store.store import Store


class ImageExporter:
    """With push-by-digest the registries get no tag; name-canonical names the image in the store by its digest."""

    def __init__(self, output: Output, store: Store, options: RegistryOptions, emit: Emit, cancelled: Flag) -> None:
        self._output, self._store, self._options = output, store, options
        self._emit, self._cancelled = emit, cancelled

    def export(self, image: StoredImage, stdout: BinaryIO) -> None:
        del stdout
        for name in image.names:
            self._name(name, image.manifest)
        if self._output.pushes:
            from builder.registry.registry import Registry

            with Registry(self._options, os.environ, self._cancelled) as registry:
                for name in image.names:
                    self._push(registry, name, image.manifest)

    def _name(self, name: Reference, descriptor: Descriptor) -> None:
        by_digest = self._output.get("push-by-digest") == "true"
        if not by_digest:
            self._store.tags.set(str(name), descriptor)
        if by_digest or self._output.get("name-canonical") == "true":
            self._store.tags.set(str(name._replace(tag="", digest=descriptor.digest)), descriptor)

    def _push(self, registry: Registry, name: Reference, descriptor: Descriptor) -> None:
        from builder.registry.push import push

        target = name._replace(tag="") if self._output.get("push-by-digest") == "true" else name
        push(registry, target, self._store, descriptor, emit=self._emit)
        shown = str(target._replace(digest=descriptor.digest))
        self._emit(Exported(time.monotonic(), "registry", shown, descriptor.digest))
