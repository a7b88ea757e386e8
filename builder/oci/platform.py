"""Platforms: `os/architecture[/variant]` (image-spec image-index.md, "platform")."""

from __future__ import annotations

import os
import re

from builder.errors import DocumentError
from builder.oci.json import Extra, Fields, build
from builder.values import NamedTuple

_PART = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
# uname's names, and the ones people type, to Go's.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm/v7",
    "armv6l": "arm/v6",
    "armhf": "arm/v7",
    "armel": "arm/v6",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "loongarch64": "loong64",
}
# From new to old; "" is the variant that needs no name.
_VARIANTS = {
    "amd64": ("v4", "v3", "v2", ""),
    "arm": ("v8", "v7", "v6", "v5"),
    "arm64": ("v8.9", "v8.8", "v8.7", "v8.6", "v8.5", "v8.4", "v8.3", "v8.2", "v8.1", ""),
}
_IMPLIED = frozenset((("arm64", "v8"), ("arm64", "v8.0"), ("amd64", "v1")))


class Platform(NamedTuple):
    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    extra: Extra = ()

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def normal(self) -> Platform:
        """The same in one spelling: the variant that an architecture has anyhow is left out, arm's usual one put in."""
        variant = f"v{self.variant}" if self.variant.isdigit() else self.variant
        if (self.architecture, variant) in _IMPLIED:
            return self._replace(variant="")
        return self._replace(variant="v7" if self.architecture == "arm" and not variant else variant)

    def rank(self, offered: Platform) -> int | None:
        """How well an image for `offered` suits: 0 is exact, None not at all.

        As containerd has it: an older variant of an architecture runs on a newer machine, the nearest first.
        Another architecture never suits, whatever this machine could run.
        """
        mine, theirs = self.normal(), offered.normal()
        if (mine.os, mine.architecture) != (theirs.os, theirs.architecture):
            return None
        if mine.variant == theirs.variant:
            return 0
        older = _older(mine.architecture, mine.variant)
        return 1 + older.index(theirs.variant) if theirs.variant in older else None

    def as_json(self) -> dict[str, object]:
        members = (
            ("architecture", self.architecture),
            ("os", self.os),
            ("os.version", self.os_version),
            ("os.features", list(self.os_features) or None),
            ("variant", self.variant),
        )
        return build(members, self.extra)


def _older(architecture: str, variant: str) -> tuple[str, ...]:
    """The older variants whose programs this one runs, the newest first."""
    order = _VARIANTS.get(architecture, ())
    if variant in order:
        return order[order.index(variant) + 1 :]
    if architecture == "arm64" and (match := re.fullmatch(r"v9(?:\.([1-9]))?", variant, re.ASCII)):
        # Armv9.n holds what Armv8.(n+5) does.
        minor = int(match[1] or 0)
        nines = tuple(f"v9.{each}" if each else "v9" for each in reversed(range(minor)))
        return (*nines, *order[max(0, 4 - minor) :])
    return ()


def platform_from(document: object, what: str) -> Platform:
    fields = Fields(document, what)
    return Platform(
        os=fields.required("os"),
        architecture=fields.required("architecture"),
        variant=fields.text("variant"),
        os_version=fields.text("os.version"),
        os_features=fields.texts("os.features") or (),
        extra=fields.rest(),
    )


def parse_platform(text: str) -> Platform:
    """`linux/arm64`, `linux/arm/v7`, or an architecture alone (of Linux). DocumentError for anything else."""
    parts = text.lower().split("/")
    if not all(_PART.fullmatch(part) for part in parts) or len(parts) > 3:
        raise DocumentError(f"not a platform: {text!r}", hint="write os/architecture, as in linux/amd64")
    system, rest = ("linux", parts) if len(parts) == 1 else (parts[0], parts[1:])
    architecture, _, variant = _ARCHITECTURES.get(rest[0], rest[0]).partition("/")
    return Platform(system, architecture, rest[1] if len(rest) > 1 else variant).normal()


def host() -> Platform:
    """The platform of this machine's kernel."""
    return parse_platform("linux/" + os.uname().machine)
