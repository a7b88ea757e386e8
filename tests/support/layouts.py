"""OCI layouts by hand, for programs that are given layers to read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from builder.oci import mediatypes

_PREFIX = "application/vnd.oci.image"


def make_layout(layout: Path, layers: list[tuple[str, bytes]], media_type: str = mediatypes.LAYER_GZIP) -> None:
    """One image, `test`, of layers that are given by diff ID and bytes."""
    descriptors = [_put(layout, data, media_type) for _, data in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for diff_id, _ in layers]},
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
