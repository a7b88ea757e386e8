"""Pull and push of 500 MB in 20 layers, from and to Debian's docker-registry on this machine, beside skopeo.

pull          from a registry into an empty store, or an empty OCI layout
push          to an empty registry
push again    to the same one: what is there already is not sent again, and that is counted
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from builders import ROOT, Missing, run

sys.path.insert(0, str(ROOT))
from tests.support.registries import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Registry, serving

LAYERS = 20
SIZE = 25_000_000
ROUNDS = 3
NAME = "bench/image"


class Peer(NamedTuple):
    """`pull` and `push` take a registry's host and the directory with the image."""

    name: str
    pull: Callable[[str, Path], None]
    push: Callable[[str, Path], None]


class Transfer(NamedTuple):
    """The median of the rounds, in seconds, and the requests that sent bytes in the last of them."""

    what: str
    who: str
    seconds: float
    sent: int


def transfers(place: Path) -> list[Transfer]:
    """Raises Missing where docker-registry or skopeo are."""
    for tool in ("docker-registry", "skopeo"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed")
    times: dict[tuple[str, str], list[float]] = {}
    sent: dict[tuple[str, str], int] = {}
    with serving(place / "origin") as origin:
        make_image(origin)
        # The first round warms the caches; the peers take turns, for the machine is not always the same.
        for number in range(ROUNDS + 1):
            for peer in PEERS:
                for what, seconds, requests in one_round(place, origin, peer):
                    times.setdefault((what, peer.name), []).extend([seconds] if number else [])
                    sent[what, peer.name] = requests
    return [Transfer(what, who, median(found), sent[what, who]) for (what, who), found in sorted(times.items())]


def one_round(place: Path, origin: Registry, peer: Peer) -> Iterator[tuple[str, float, int]]:
    with scratch(place) as image, scratch(place) as storage:
        yield "pull", timed(lambda: peer.pull(origin.host, image)), 0
        with serving(storage) as target:
            yield "push", timed(lambda: peer.push(target.host, image)), uploads(target)
            before = uploads(target)
            yield "push again", timed(lambda: peer.push(target.host, image)), uploads(target) - before


def uploads(registry: Registry) -> int:
    """Requests of the access log that began or carried an upload of a blob."""
    return sum(
        request.split("/")[0].strip() in ("POST", "PATCH", "PUT") and "/uploads" in request
        for request in registry.requests()
    )


def rbuild(*arguments: str, store: Path) -> None:
    run([str(Path(sys.executable).with_name("rbuild")), *arguments], {"RBUILD_STORE": str(store)})


def rbuild_pull(host: str, image: Path) -> None:
    rbuild("pull", f"{host}/{NAME}:1", store=image)
    # The name by which it is pushed does not depend on the port of the origin.
    rbuild("tag", f"{host}/{NAME}:1", "bench:1", store=image)


def rbuild_push(host: str, image: Path) -> None:
    rbuild("push", "bench:1", f"{host}/{NAME}:1", store=image)


def skopeo(*arguments: str, home: Path) -> None:
    # Its cache of where blobs are would make a second registry seem to have what the first one has.
    run(
        ["skopeo", "--insecure-policy", "copy", "-q", *arguments],
        {"HOME": str(home), "XDG_DATA_HOME": str(home / "cache")},
    )


def skopeo_pull(host: str, image: Path) -> None:
    skopeo("--src-tls-verify=false", f"docker://{host}/{NAME}:1", f"oci:{image}/layout:1", home=image)


def skopeo_push(host: str, image: Path) -> None:
    with scratch(image) as home:
        skopeo("--dest-tls-verify=false", f"oci:{image}/layout:1", f"docker://{host}/{NAME}:1", home=home)


PEERS = (Peer("rbuild", rbuild_pull, rbuild_push), Peer("skopeo", skopeo_pull, skopeo_push))


def make_image(registry: Registry) -> None:
    """Layers of random bytes, so that nothing is saved by compression or by their being alike."""
    layers, identities = [], []
    for _ in range(LAYERS):
        tar = one_file(os.urandom(SIZE))
        identities.append("sha256:" + hashlib.sha256(tar).hexdigest())
        blob = gzip.compress(tar, 0, mtime=0)
        layers.append({"mediaType": OCI_LAYER, "digest": registry.put_blob(NAME, blob), "size": len(blob)})
    rootfs = {"type": "layers", "diff_ids": identities}
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": {}, "rootfs": rootfs}).encode()
    described = {"mediaType": OCI_CONFIG, "digest": registry.put_blob(NAME, config), "size": len(config)}
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": layers}
    registry.put_manifest(NAME, "1", OCI_MANIFEST, json.dumps(manifest).encode())


def one_file(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@contextmanager
def scratch(place: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir=place))
    try:
        yield path
    finally:
        subprocess.run(["rm", "-rf", path], check=True)


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def report(place: Path) -> None:
    """The table: times beside skopeo's, and what was sent."""
    try:
        found = transfers(place)
    except Missing as reason:
        print(f"\npull and push take no part: {reason}")
        return
    floors = {row.what: row.seconds for row in found if row.who == "skopeo"}
    print()
    for row in found:
        ratio = f"{row.seconds / floors[row.what]:.2f} x"
        goal = {"pull": "<= 1 x", "push": "<= 1 x", "push again": "0 uploads"}[row.what] if row.who == "rbuild" else ""
        sent = f"{row.sent} uploads" if row.what != "pull" else ""
        what = f"{row.what}, {LAYERS * SIZE // 10**6} MB"
        print(f"{what:<24}{row.who:<12}{1000 * row.seconds:>8.0f} ms{ratio:>10}{sent:>14}  {goal}".rstrip())


if __name__ == "__main__":
    (ROOT / ".cache").mkdir(exist_ok=True)
    with scratch(ROOT / ".cache") as path:
        report(path)
