"""Root file systems of several platforms in one output, each in a folder of its own or all in one place."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import ExportError
from builder.layers.pack import view_tar
from builder.snapshots.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.exporters.exporter import Rootfs, Roots

# What the new name or the writer itself decides.
_REPLACED = ("path", "linkpath", "size")


def check_collisions(roots: Roots) -> None:
    """ExportError where two root file systems would write the same path, unless it is a directory in both."""
    written: dict[str, bool] = {}
    for folder, rootfs in roots:
        mine = {f"{folder}/{path}": is_dir for path, is_dir in _paths(rootfs)}
        for path in sorted(mine.keys() & written.keys()):
            if not (mine[path] and written[path]):
                raise ExportError(
                    f"{path} is in the images of two platforms, and one place cannot hold both",
                    hint="leave platform-split=false away: each platform gets a folder then",
                )
        written |= mine


def _paths(rootfs: Rootfs) -> Iterator[tuple[str, bool]]:
    with View(rootfs.snapshot(), rootfs.owners()) as view:
        todo = [""]
        while todo:
            for entry in view.entries(todo.pop()):
                yield entry.path, entry.is_dir
                todo += [entry.path] if entry.is_dir else []


def write_joined(roots: Roots, out: BinaryIO) -> None:
    """One archive with the contents of all, in the order of `roots`."""
    check_collisions(roots)
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as archive:
        for folder, rootfs in roots:
            if folder:
                archive.addfile(_folder(folder, rootfs.epoch))
            _append(rootfs, f"{folder}/" if folder else "", archive)


def _append(rootfs: Rootfs, prefix: str, archive: tarfile.TarFile) -> None:
    trees = rootfs.snapshot().trees
    with (
        view_tar(trees, owners=rootfs.owners(), clamp=rootfs.epoch) as stream,
        tarfile.open(fileobj=stream, mode="r|") as source,
    ):
        for entry in source:
            content = source.extractfile(entry) if entry.isreg() else None
            archive.addfile(_moved(entry, prefix), content)


def _moved(entry: tarfile.TarInfo, prefix: str) -> tarfile.TarInfo:
    entry.name = prefix + entry.name
    if entry.islnk():
        entry.linkname = prefix + entry.linkname
    entry.pax_headers = {key: value for key, value in entry.pax_headers.items() if key not in _REPLACED}
    return entry


def _folder(name: str, epoch: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, epoch
    return entry
