"""OCI layouts: written by hand, for programs that are given layers to read, and read."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

from builder.layers.codec import decompressed, sniff
from builder.oci import mediatypes

_PREFIX = "application/vnd.oci.image"


def make_layout(
    layout: Path,
    layers: list[tuple[str, bytes]],
    media_type: str = mediatypes.LAYER_GZIP,
    history: tuple[dict[str, str], ...] = (),
) -> None:
    """One image, `test`, of layers that are given by diff ID and bytes."""
    descriptors = [_put(layout, data, media_type) for _, data in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for diff_id, _ in layers]},
        **({"history": history} if history else {}),
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_PREFIX}.manifest.v1+json",
        "config": _put(layout, json.dumps(config).encode(), f"{_PREFIX}.config.v1+json"),
        "layers": descriptors,
    }
    descriptor = _put(layout, json.dumps(manifest).encode(), f"{_PREFIX}.manifest.v1+json")
    descriptor["annotations"] = {"org.opencontainers.image.ref.name": "test"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def _put(layout: Path, data: bytes, media_type: str) -> dict[str, object]:
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


class Read(NamedTuple):
    """The one image of a layout: its documents, its blobs as they are, its layers as plain tars."""

    manifest: dict[str, Any]
    config: dict[str, Any]
    blobs: dict[str, bytes]
    tars: list[bytes]


def read_layout(layout: Path) -> Read:
    blobs = {f"sha256:{path.name}": path.read_bytes() for path in layout.glob("blobs/sha256/*")}
    (named,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    manifest = json.loads(blobs[named["digest"]])
    config = json.loads(blobs[manifest["config"]["digest"]])
    return Read(manifest, config, blobs, [_plain(blobs[layer["digest"]]) for layer in manifest["layers"]])


def _plain(layer: bytes) -> bytes:
    reader = decompressed(io.BytesIO(layer), name=sniff(layer[:512]))
    return b"".join(iter(lambda: reader.read(1 << 20), b""))
