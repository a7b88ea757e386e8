"""Small images made by hand in a store, for tests of everything that reads, copies and writes images."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import NoReturn

from builder.exporters.exporter import Rootfs
from builder.oci import mediatypes
from builder.oci.assemble import Image, Layer, assemble
from builder.oci.config import History, ImageConfig
from builder.oci.digest import sha256_of
from builder.oci.platform import host
from builder.store.store import Store

EPOCH = "1970-01-01T00:00:00Z"


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            if name.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o711
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def put_layer(store: Store, files: dict[str, bytes]) -> Layer:
    """A gzip layer of plain files, and directories of mode 0711 where a name ends in a slash."""
    tar = tar_of(files)
    descriptor = store.blobs.put_bytes(mediatypes.LAYER_GZIP, gzip.compress(tar, mtime=0))
    return Layer(descriptor, sha256_of(tar))


def put_image(store: Store, *layers: dict[str, bytes], config: ImageConfig | None = None) -> Image:
    """A complete image for this machine's platform, one layer for each dict of files."""
    here = host()
    base = config or ImageConfig(cmd=("/hello",), env=(("PATH", "/bin"),), labels=(("made-by", "a test"),))
    base = base._replace(
        architecture=here.architecture,
        variant=here.variant,
        created=EPOCH,
        history=tuple(History(created=EPOCH, created_by=f"COPY {number}") for number in range(len(layers))),
    )
    image = assemble(base, [put_layer(store, files) for files in layers])
    store.blobs.put_bytes(image.config.media_type, image.config_bytes)
    store.blobs.put_bytes(image.manifest.media_type, image.manifest_bytes)
    return image


def _no_rootfs() -> NoReturn:
    raise AssertionError("this output does not need the root file system")


NO_ROOTFS = Rootfs(_no_rootfs, _no_rootfs, 0)
