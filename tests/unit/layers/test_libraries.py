"""What an installation that lacks a compressor, or has another one, says: never other bytes without a word."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from builder.errors import BuildError
from builder.layers import libraries
from builder.layers.codec import Compression, decompressed
from builder.layers.compress import press

WRITERS = [("gzip", "deflate"), ("zstd", "zstandard")]


@pytest.mark.parametrize(("compression", "library"), WRITERS)
def test_a_missing_compressor_is_named(compression: Compression, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(BuildError, match=f"the Python package {library}==.* cannot be used") as raised:
        press(compression)
    assert f"pip install '{library}==" in str(raised.value.hint)


@pytest.mark.parametrize(("compression", "library"), WRITERS)
def test_another_version_of_a_compressor_is_refused(
    compression: Compression, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{library}.__version__", "0.1.2")

    with pytest.raises(BuildError, match=rf"{library} 0\.1\.2, which is installed, may give other digests"):
        press(compression)


@pytest.mark.parametrize(("compression", "module"), [("gzip", "zlib_ng"), ("zstd", "zstandard")])
def test_a_missing_decompressor_is_named(compression: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(BuildError, match="cannot be used"):
        decompressed(io.BytesIO(), name=compression)


def test_the_versions_are_those_that_pip_installs() -> None:
    pyproject = (Path(__file__).parents[3] / "pyproject.toml").read_text()

    assert dict(re.findall(r'"(deflate|zstandard)==([^"]+)"', pyproject)) == libraries._WRITERS
