"""Mount points that an image lacks, provided by the lowest overlay layer so that no trace reaches upper."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def layer(directory: str, stubs: Iterable[tuple[str, bool]]) -> str:
    """A directory below `directory` that holds exactly the stubs (path, is_dir). Made once, then immutable."""
    raise NotImplementedError
