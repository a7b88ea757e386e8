"""What an exporter is given and what it promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, Protocol

from builder.oci.reference import Reference, parse_reference
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.exporters.spec import Output
    from builder.layers.tree import Owners
    from builder.oci.descriptor import Descriptor
    from builder.snapshots.snapshot import Snapshot
    from builder.store.blobs import Blobs


class StoredImage(NamedTuple):
    """A complete image: `manifest` (or an index) and all that it names are in `blobs`."""

    blobs: Blobs
    manifest: Descriptor
    names: tuple[Reference, ...] = ()


class Rootfs(NamedTuple):
    """How to get at the image's root file system, made only when an output holds it. No time is later than `epoch`."""

    snapshot: Callable[[], Snapshot]
    owners: Callable[[], Owners]
    epoch: int


Roots = Sequence[tuple[str, Rootfs]]


class Exporter(Protocol):
    def export(self, image: StoredImage, stdout: BinaryIO) -> None:
        """Write the image to the destination that the exporter was made for; "-" is `stdout`.

        Success means that the destination is complete. A failure is an ExportError, or the StoreError
        of a damaged blob; a destination file is then what it was before.
        """
        ...


def exporter_for(output: Output, roots: Roots) -> Exporter:
    """The exporter for a parsed -o option. `roots` are root file systems by platform."""
    if output.holds_rootfs:
        from builder.exporters.rootfs import LocalExporter, TarExporter

        return (LocalExporter if output.kind == "local" else TarExporter)(output.dest, _in_folders(output, roots))
    if output.is_directory:
        from builder.exporters.layout import LayoutExporter

        return LayoutExporter(output.dest)
    from builder.exporters.archive import ArchiveExporter

    return ArchiveExporter(output.dest, docker=output.kind == "docker")


def _in_folders(output: Output, roots: Roots) -> Roots:
    """`linux/arm/v7` in the folder `linux_arm_v7`, unless platform-split= says otherwise; one platform in none."""
    split = output.get("platform-split") == "true" if output.get("platform-split") else len(roots) > 1
    return [(platform.replace("/", "_") if split else "", rootfs) for platform, rootfs in roots]


def output_names(output: Output, tags: tuple[Reference, ...]) -> tuple[Reference, ...]:
    """The names that an output gives its image: of name=, split at commas, else the build's tags."""
    named = tuple(parse_reference(name).or_latest() for name in output.get("name").split(",") if name)
    return named or tags
