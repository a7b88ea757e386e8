"""The flattened root file system: type=tar, and type=local as a directory.

The view is made by a function that the caller gives, and for a directory it is unpacked by another one,
which must never write through a symbolic link that is already there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from builder.exporters.destination import destination, export_errors

if TYPE_CHECKING:
    from builder.exporters.exporter import StoredImage, Unpack, WriteRootfs


class TarExporter:
    def __init__(self, dest: str, write_rootfs: WriteRootfs) -> None:
        self._dest = dest
        self._write_rootfs = write_rootfs

    def export(self, image: StoredImage, stdout: BinaryIO) -> None:
        del image
        with destination(self._dest, stdout) as out:
            self._write_rootfs(out)


class LocalExporter:
    """Unpacks over what is in the directory already; a failure may leave a part of the files there."""

    def __init__(self, dest: str, write_rootfs: WriteRootfs, unpack: Unpack) -> None:
        self._dest = dest
        self._write_rootfs = write_rootfs
        self._unpack = unpack

    def export(self, image: StoredImage, stdout: BinaryIO) -> None:
        del image, stdout
        with export_errors(self._dest):
            os.makedirs(self._dest, exist_ok=True)
            self._stream()

    def _stream(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        reading, writing = os.pipe()
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(self._write, writing)
            try:
                with open(reading, "rb") as stream:
                    self._unpack(stream, self._dest)
                    while stream.read(1 << 16):  # what follows the end mark
                        pass
            except BaseException as error:
                # An unpacker that hits a sudden end is the victim; a writer that met a closed pipe, too.
                cause = written.exception()
                if cause is not None and not isinstance(cause, BrokenPipeError):
                    raise cause from error
                raise
            written.result()

    def _write(self, writing: int) -> None:
        with open(writing, "wb") as out:
            self._write_rootfs(out)
