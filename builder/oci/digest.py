"""Digests: `sha256:` and 64 lower-case hex digits (image-spec descriptor.md, "Digests").

A digest names a file in the store, so nothing that has not passed `parse_digest` may be used as one.
"""

from __future__ import annotations

import hashlib
import re

from builder.errors import DocumentError

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_OTHER = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+", re.ASCII)

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def parse_digest(text: object) -> str:
    """The digest unchanged, or DocumentError. Other registered algorithms are refused by name."""
    if isinstance(text, str):
        if _SHA256.fullmatch(text):
            return text
        if _OTHER.fullmatch(text) and not text.startswith("sha256:"):
            raise DocumentError(
                f"digest {text[:100]!r} uses the algorithm {text.split(':')[0]}, which is not supported",
                hint="only sha256 digests are supported",
            )
    raise DocumentError(f"not a digest: {str(text)[:100]!r}", hint="expected sha256: and 64 hex digits")


def hex_of(digest: str) -> str:
    """The 64 hex digits of a digest: the name of its file."""
    return parse_digest(digest)[7:]


def sha256_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
