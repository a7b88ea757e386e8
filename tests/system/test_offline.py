"""--offline is a mode, not a hope: no socket is opened, and what would have been fetched is told, all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.builds import write_context
from tests.support.command import Rbuild

DOCKERFILE = """\
FROM app AS build
COPY src /src
FROM layout AS tools
FROM loaded:1
COPY --from=build /src /out
COPY --from=tools /f /tools
COPY --from=archive:2 /g /g
"""


@pytest.fixture
def island(rbuild: Rbuild, context: Path, tmp_path: Path) -> list[str | Path]:
    """The words of a build of several stages on an OCI layout and on archives of `docker save`, in a fresh store."""
    other = Rbuild(tmp_path / "other")
    for name, files in {
        "layout": {"f": "1"},
        "loaded:1": {"b": "2"},
        "archive:2": {"g": "3"},
        "app": {"a": "4"},
    }.items():
        write_context(tmp_path / "bases" / name, f"FROM scratch\nCOPY {' '.join(files)} /\n", files)
        kind, place = ("oci", "layout,tar=false") if name == "layout" else ("docker", f"{name}.tar")
        words = ["-t", name, "-o", f"type={kind},dest={tmp_path / 'bases'}/{place}", tmp_path / "bases" / name]
        other("--isolation=none", *words)
        if kind == "docker":
            rbuild("load", tmp_path / "bases" / place)
    other.clean()
    write_context(context, DOCKERFILE, {"src": "hello"})
    layout = f"layout=oci-layout://{tmp_path / 'bases/layout'}"
    return ["--isolation=none", "--offline", "-t", "out", "--build-context", layout, context]
