"""Programs and documents that a machine may lack. A test that needs one is skipped by its name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_SCHEMA_PACKAGE = "golang-github-opencontainers-image-spec-dev"
_SCHEMAS = "usr/share/gocode/src/github.com/opencontainers/image-spec/schema"


def need_tool(name: str) -> str:
    """The path of a program, or a skip that names it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def need_image_spec_schemas() -> Path:
    """The image-spec's JSON schemas, from Debian's package: installed, or unpacked by `make test`."""
    for root in (Path("/"), ROOT / ".cache" / "deb" / _SCHEMA_PACKAGE):
        if (root / _SCHEMAS).is_dir():
            return root / _SCHEMAS
    pytest.skip(f"{_SCHEMA_PACKAGE} is not installed")
