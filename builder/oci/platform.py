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
        """The same with arm64's only variant left out and arm's usual one put in."""
        if (self.architecture, self.variant) == ("arm64", "v8"):
            return self._replace(variant="")
        if (self.architecture, self.variant) == ("arm", ""):
            return self._replace(variant="v7")
        return self

    def rank(self, offered: Platform) -> int | None:
        """How well an image for `offered` suits: 0 is exact, None not at all.

        An older arm variant runs on a newer machine; any other variant has to be the same one.
        """
        mine, theirs = self.normal(), offered.normal()
        if (mine.os, mine.architecture) != (theirs.os, theirs.architecture):
            return None
        if mine.variant == theirs.variant:
            return 0
        order = ("v8", "v7", "v6", "v5")
        if mine.architecture == "arm" and mine.variant in order and theirs.variant in order:
            steps = order.index(theirs.variant) - order.index(mine.variant)
            return steps if steps > 0 else None
        return None

    def as_json(self) -> dict[str, object]:
        members = (
            ("architecture", self.architecture),
            ("os", self.os),
            ("os.version", self.os_version),
            ("os.features", list(self.os_features) or None),
            ("variant", self.variant),
        )
        return build(members, self.extra)


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
