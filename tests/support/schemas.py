"""The official JSON schemas of the OCI image-spec, found where Debian's package puts them; never fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PACKAGE = "golang-github-opencontainers-image-spec-dev"
_PLACE = "usr/share/gocode/src/github.com/opencontainers/image-spec/schema"
_CACHED = Path(__file__).resolve().parents[2] / ".cache" / "deb" / PACKAGE

FILES = {
    "config": "config-schema.json",
    "descriptor": "content-descriptor.json",
    "index": "image-index-schema.json",
    "layout": "image-layout-schema.json",
    "manifest": "image-manifest-schema.json",
}


def schema_directory() -> Path:
    for root in (Path("/"), _CACHED):
        if (root / _PLACE).is_dir():
            return root / _PLACE
    pytest.skip(f"{PACKAGE} is not installed")


def faults(kind: str, document: bytes) -> list[str]:
    """What the schema for `kind` (a key of FILES) finds wrong with the JSON text. Skips without schemas."""
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing")
    draft4 = pytest.importorskip("referencing.jsonschema").DRAFT4
    directory = schema_directory()

    def retrieve(uri: str) -> object:
        # The files name each other relative to ids at which nothing is served, so only the last part counts.
        contents = json.loads((directory / uri.rpartition("/")[2]).read_bytes())
        return referencing.Resource.from_contents(contents, default_specification=draft4)

    schema = json.loads((directory / FILES[kind]).read_bytes())
    validator = jsonschema.Draft4Validator(schema, registry=referencing.Registry(retrieve=retrieve))
    return [error.message for error in validator.iter_errors(json.loads(document))]
