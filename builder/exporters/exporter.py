"""What an exporter is given and what it promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from builder.oci.reference import Reference, parse_reference

if TYPE_CHECKING:
    from builder.exporters.spec import Output
    from builder.oci.descriptor import Descriptor
    from builder.store.blobs import Blobs

WriteRootfs = Callable[[BinaryIO], object]  # writes the flattened root file system as one plain tar
Unpack = Callable[[BinaryIO, str], object]  # unpacks such a tar below a directory, whatever is in it


class StoredImage(NamedTuple):
    """A complete image: `manifest` (or an index) and all that it names are in `blobs`."""

    blobs: Blobs
    manifest: Descriptor
    names: tuple[Reference, ...] = ()


class Exporter(Protocol):
    def export(self, image: StoredImage, stdout: BinaryIO) -> None:
        """Write the image to the destination that the exporter was made for; "-" is `stdout`.

        Success means that the destination is complete. A failure is an ExportError, or the StoreError
        of a damaged blob; a destination file is then what it was before.
        """
        ...


def exporter_for(output: Output, write_rootfs: WriteRootfs, unpack: Unpack) -> Exporter:
    """The exporter for a parsed -o option. The two functions are called by type=tar and type=local only."""
    if output.kind == "local":
        from builder.exporters.rootfs import LocalExporter

        return LocalExporter(output.dest, write_rootfs, unpack)
    if output.kind == "tar":
        from builder.exporters.rootfs import TarExporter

        return TarExporter(output.dest, write_rootfs)
    if output.is_directory:
        from builder.exporters.layout import LayoutExporter

        return LayoutExporter(output.dest)
    from builder.exporters.archive import ArchiveExporter

    return ArchiveExporter(output.dest, docker=output.kind == "docker")


def output_names(output: Output, tags: tuple[Reference, ...]) -> tuple[Reference, ...]:
    """The names that an output gives its image: of name=, split at commas, else the build's tags."""
    named = tuple(parse_reference(name).or_latest() for name in output.get("name").split(",") if name)
    return named or tags
