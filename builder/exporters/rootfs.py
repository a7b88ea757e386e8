"""The root file system itself: type=tar as one plain tar, type=local as a directory."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import ExportError
from builder.exporters.destination import destination, export_errors
from builder.layers.pack import pack_view
from builder.snapshots.view import View

if TYPE_CHECKING:
    from builder.exporters.exporter import Rootfs, Roots, StoredImage
    from builder.snapshots.filetree import Entry

_CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class TarExporter:
    """`roots` are root file systems by the folder of the archive that they go to, "" for its root."""

    def __init__(self, dest: str, roots: Roots) -> None:
        self._dest = dest
        self._roots = roots

    def export(self, image: StoredImage, stdout: BinaryIO) -> None:
        del image
        folder, rootfs = self._roots[0]
        snapshot, owners = rootfs.snapshot(), rootfs.owners()
        with destination(self._dest, stdout) as out:
            if folder or len(self._roots) > 1:
                from builder.exporters.platforms import write_joined

                write_joined(self._roots, out)
            else:
                pack_view(snapshot.trees, out, owners=owners, clamp=rootfs.epoch)


class LocalExporter:
    """Writes over what is in the directory already; a failure may leave a part of the files there.

    Files belong to the user who builds, with the modes of the image less the setuid and setgid bits;
    device nodes are left out. A symbolic link in the destination is replaced where the image has
    something of that name, and never followed. `roots` are by folder, "" for the destination itself.
    """

    def __init__(self, dest: str, roots: Roots) -> None:
        self._dest = dest
        self._roots = roots

    def export(self, image: StoredImage, stdout: BinaryIO) -> None:
        del image, stdout
        if len(self._roots) > 1:
            from builder.exporters.platforms import check_collisions

            check_collisions(self._roots)
        with export_errors(self._dest):
            os.makedirs(self._dest, exist_ok=True)
            root = os.open(self._dest, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for folder, rootfs in self._roots:
                    _fill(rootfs, folder, root)
            finally:
                os.close(root)


def _fill(rootfs: Rootfs, folder: str, root: int) -> None:
    inside = _inside(folder, root) if folder else os.dup(root)
    try:
        with View(rootfs.snapshot(), rootfs.owners()) as view:
            _Copy(view, rootfs.epoch).fill("", inside)
    finally:
        os.close(inside)


def _inside(name: str, directory: int, mode: int = 0o755) -> int:
    """A descriptor of a directory in a directory, made where there is none."""
    if not _is_directory(name, directory):
        _clear(name, directory)
        os.mkdir(name, mode, dir_fd=directory)
    return os.open(name, _DIRECTORY, dir_fd=directory)


class _Copy:
    def __init__(self, view: View, epoch: int) -> None:
        self._view = view
        self._latest = epoch * 10**9

    def fill(self, path: str, directory: int) -> None:
        """Write what the view has in `path` into the directory behind a descriptor."""
        for entry in self._view.entries(path):
            if entry.is_dir:
                self._directory(entry, directory)
            elif entry.is_file:
                self._file(entry, directory)
            elif entry.is_link:
                _clear(entry.name, directory)
                os.symlink(self._view.readlink(entry.path), entry.name, dir_fd=directory)
            elif stat.S_ISFIFO(entry.mode):
                _clear(entry.name, directory)
                os.mkfifo(entry.name, stat.S_IMODE(entry.mode) & 0o777, dir_fd=directory)

    def _directory(self, entry: Entry, directory: int) -> None:
        inside = _inside(entry.name, directory, 0o700)
        try:
            self.fill(entry.path, inside)
            # The user must be able to remove what was exported.
            os.fchmod(inside, stat.S_IMODE(entry.mode) & 0o1777 | 0o700)
            self._date(entry, inside)
        finally:
            os.close(inside)

    def _file(self, entry: Entry, directory: int) -> None:
        _clear(entry.name, directory)
        file = os.open(entry.name, _NEW, 0o600, dir_fd=directory)
        try:
            source = self._view.open(entry)
            try:
                _copy_data(source, file)
            finally:
                os.close(source)
            os.fchmod(file, stat.S_IMODE(entry.mode) & 0o777)
            self._date(entry, file)
        finally:
            os.close(file)

    def _date(self, entry: Entry, descriptor: int) -> None:
        when = min(entry.mtime_ns, self._latest)
        os.utime(descriptor, ns=(when, when))


def _is_directory(name: str, directory: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _clear(name: str, directory: int) -> None:
    """Remove what is not a directory. A directory in the way of a file is the user's to remove."""
    if _is_directory(name, directory):
        raise ExportError(f"{name!r} is a directory in the destination, and a file in the image")
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _copy_data(source: int, target: int) -> None:
    left = os.fstat(source).st_size
    while left:
        try:
            count = os.copy_file_range(source, target, min(left, 1 << 30))
        except OSError:
            count = 0
        if not count:
            break
        left -= count
    while left and (block := os.read(source, _CHUNK)):
        os.write(target, block)
