"""A bundle of one image and one download, made by hand from a store; and what may be done to a file of it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from builder.cli.console import Console
from builder.cli.main import main
from builder.exporters.bundle import Piece, write_bundle
from builder.oci.bundle import OCTETS, Bundle, FileSource, ImageSource
from builder.oci.bundle_layout import NOTHING, artifacts, index_of, manifest_of
from builder.oci.descriptor import describe
from builder.oci.digest import sha256_of
from builder.oci.platform import host
from builder.sources.layout_files import header_of
from builder.store.images import closure
from builder.store.store import Store
from tests.support.images import put_image
from tests.support.tools import ROOT

URL = "https://example.com/file"
FILE = b"what was downloaded\n"
REFERENCE = "docker.io/library/app:1"


class Ran(NamedTuple):
    stdout: str
    stderr: str


class Machine(NamedTuple):
    """rbuild with a store of its own, run inside this process: for what starts no step."""

    store: Path

    def __call__(self, *words: str | Path, status: int = 0) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        where = [] if "--list" in words else ["--store", str(self.store)]
        command, *rest = map(str, words)
        found = main([command, *where, *rest], Console(out, err, os.environ))
        assert found == status, out.getvalue() + err.getvalue()
        return Ran(out.getvalue(), err.getvalue())

    def build(self, *words: str | Path) -> str:
        """The digest that is built."""
        return self("build", "--isolation=none", "-q", *words).stdout.strip()

    def refused(self, *words: str | Path, status: int = 1) -> str:
        return self("build", "--isolation=none", "-q", *words, status=status).stderr

    def bundle(self, out: Path, *words: str | Path) -> Path:
        self("bundle", "-o", out, *words)
        return out

    def offline(self, prefix: list[str], *words: str | Path) -> str:
        """The digest that is built in a process of its own, which `prefix` starts without a network."""
        options = ["--store", str(self.store), "--isolation=none", "-q", "--offline"]
        command = [*prefix, sys.executable, "-m", "builder", "build", *options, *map(str, words)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()


class Made(NamedTuple):
    path: Path
    bundle: Bundle
    contents: dict[str, bytes]


def make(path: Path, store: Store) -> Made:
    """Writes a small complete bundle; `contents` are its blobs by digest."""
    image = put_image(store, {"hello": b"hello\n"}, {"etc/x": b"x" * 700})
    blobs = closure(store.blobs, image.manifest)
    contents = {blob.digest: Path(store.blobs.path(blob.digest)).read_bytes() for blob in blobs}
    size = sum(blob.size for blob in blobs)
    found = Bundle(
        images=(ImageSource(("app:1",), REFERENCE, host(), image.manifest, image.manifest, size),),
        files=(FileSource(URL, 5, describe(OCTETS, FILE)),),
    )
    return write(path, found, {**contents, sha256_of(FILE): FILE})


def write(path: Path, found: Bundle, contents: dict[str, bytes]) -> Made:
    """Completes a bundle of these sources and blobs and writes it."""
    contents = {**contents, **artifacts(found)}
    found = found._replace(blobs=tuple((digest, len(content)) for digest, content in contents.items())).sorted()
    own = (found.encode(), manifest_of(found), NOTHING)
    contents = {**contents, **{sha256_of(content): content for content in own}}
    pieces = {digest: Piece(len(content), "", content) for digest, content in contents.items()}
    with open("/dev/null", "wb") as nowhere:
        write_bundle(str(path), index_of(found), pieces, nowhere)
    return Made(path, found, contents)


def member(name: str, content: bytes = b"") -> bytes:
    """A file or, with a slash at the end of its name, a directory of a tar."""
    return header_of(name, len(content)) + content + bytes(-len(content) % 512)


def blob_name(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")
