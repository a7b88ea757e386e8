"""The proxies of ~/.docker/config.json, which Docker's command line turns into build arguments.

    {"proxies": {"default": {"httpProxy": "http://proxy:3128", "noProxy": "localhost,.corp"}}}

Those of one Docker daemon ("tcp://…") are not ours: there is none here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "noProxy": "NO_PROXY",
    "ftpProxy": "FTP_PROXY",
    "allProxy": "ALL_PROXY",
}


def proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Build arguments in both spellings. Raises UsageError for a file that means some, and cannot be read as such."""
    path = os.path.join(environ.get("DOCKER_CONFIG") or os.path.join(environ.get("HOME", ""), ".docker"), "config.json")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return {}
    # Most files of this name hold credentials alone: their faults are of no concern to a build that needs none.
    found = _default(content, path) if b'"proxies"' in content else {}
    pairs = ((_KEYS[key], value) for key, value in found.items() if key in _KEYS and value)
    return {spelled: value for name, value in pairs for spelled in (name, name.lower())}


def _default(content: bytes, path: str) -> dict[str, str]:
    import json

    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid JSON: {error}") from error
    found: Any = document
    for key in ("proxies", "default"):
        found = found.get(key, {}) if isinstance(found, dict) else None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise UsageError(
            f'{path}: "proxies": "default" must be an object of strings', hint='as in {"httpProxy": "URL"}'
        )
    return found
