from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.exporters.exporter import StoredImage
from builder.oci.reference import parse_reference
from builder.store.store import Store
from tests.support.images import put_image


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def image(store: Store) -> StoredImage:
    """Two layers, named docker.io/library/app:1."""
    built = put_image(store, {"hello": b"hello\n"}, {"etc/x": b"x" * 5000})
    return StoredImage(store.blobs, built.manifest, (parse_reference("app:1"),))
