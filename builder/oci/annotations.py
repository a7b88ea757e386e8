"""`--annotation`: which document of the result each one goes to (image-spec annotations.md).

KEY=VALUE                       the manifest
index:KEY=VALUE                 the index of several platforms
manifest-descriptor:KEY=VALUE   where the index names the manifest
index-descriptor:KEY=VALUE      where the layout names the result
manifest[linux/arm64]:KEY=VALUE the manifest of that platform alone
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.errors import UsageError
from builder.oci.platform import parse_platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.oci.platform import Platform

_LEVEL = re.compile(r"(?P<level>manifest|index|manifest-descriptor|index-descriptor)(?:\[(?P<platform>[^]]*)\])?")

Pairs = tuple[tuple[str, str], ...]


class Annotations:
    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        """UsageError for a level that there is not."""
        self._rows = [(level, platform, key, value) for text, value in pairs for level, platform, key in _split(text)]

    def of(self, level: str, platform: Platform | None = None) -> Pairs:
        """What goes to the document of this level, sorted by key; the last of a key counts."""
        found = {
            key: value
            for at, only, key, value in self._rows
            if at == level and (only is None or (platform is not None and only == platform.normal()))
        }
        return tuple(sorted(found.items()))


def _split(text: str) -> list[tuple[str, Platform | None, str]]:
    levels, colon, key = text.partition(":")
    found = [_LEVEL.fullmatch(level) for level in levels.split(",")]
    if not colon or not any(found):
        return [("manifest", None, text)]  # a key may hold a colon
    rows = []
    for word, match in zip(levels.split(","), found, strict=True):
        if match is None:
            known = "manifest, index, manifest-descriptor, index-descriptor"
            raise UsageError(f"--annotation {text}: unknown level {word!r}", hint=f"known are {known}")
        rows.append((match["level"], parse_platform(match["platform"]) if match["platform"] else None, key))
    return rows
