"""What an exporter is given and what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

from builder.oci.reference import Reference, parse_reference
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


class Exporter(Protocol):
    def export(self, image: StoredImage, stdout: BinaryIO) -> None:
        """Write the image to the destination that the exporter was made for; "-" is `stdout`.

        Success means that the destination is complete. A failure is an ExportError, or the StoreError
        of a damaged blob; a destination file is then what it was before.
        """
        ...


def exporter_for(output: Output, roots: Sequence[tuple[str, Rootfs]]) -> Exporter:
    """The exporter for a parsed -o option. `roots` are root file systems by platform, "" where there is but one."""
    if output.kind in ("local", "tar"):
        from builder.exporters.rootfs import LocalExporter, TarExporter

        return (LocalExporter if output.kind == "local" else TarExporter)(output.dest, roots[0][1])
    if output.is_directory:
        from builder.exporters.layout import LayoutExporter

        return LayoutExporter(output.dest)
    from builder.exporters.archive import ArchiveExporter

    return ArchiveExporter(output.dest, docker=output.kind == "docker")


def output_names(output: Output, tags: tuple[Reference, ...]) -> tuple[Reference, ...]:
    """The names that an output gives its image: of name=, split at commas, else the build's tags."""
    named = tuple(parse_reference(name).or_latest() for name in output.get("name").split(",") if name)
    return named or tags
