"""Expected texts as files under tests/golden. RBUILD_UPDATE_GOLDEN=1 writes what is, for the diff."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1] / "golden"


def check(name: str, text: str) -> None:
    """`text` is what tests/golden/NAME says."""
    path = ROOT / name
    if os.environ.get("RBUILD_UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert text == path.read_text(), f"{path} differs"
