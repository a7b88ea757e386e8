"""What sources are pinned to: asked before the network is. Nothing is pinned, or what a lock file says is.

resolver ─ image(name, platform) ─┐
fetcher  ─ url(address)          ─┼─► Pins ─► NO_PINS: None, always
fetcher  ─ git(remote, ref)      ─┘       └─► LockPins: the value of the line, or None
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from builder.dockerfile.gitref import redacted
from builder.errors import LockError

if TYPE_CHECKING:
    from builder.errors import BuildError
    from builder.oci.platform import Platform
    from builder.sources.lock import Lock


IMAGE, GIT, URL = "image", "git", "url"
_UNSEEN = re.compile(rb"[^!-~]")


def spelled(address: str) -> str:
    """An address as a lock has it: one word without credentials, what is not plain ASCII as %XX."""
    plain = redacted(address).encode("utf-8", "surrogateescape")
    return _UNSEEN.sub(lambda match: b"%%%02X" % ord(match[0]), plain).decode("ascii")


def at_ref(remote: str, ref: str) -> str:
    return f"{remote}#{ref}" if ref else remote


class Pins(Protocol):
    """None means that nothing is known of the source. `place` says where a pin stands, as in `rbuild.lock:7`."""

    def image(self, name: str, platform: Platform) -> str | None:
        """The digest of the manifest that `name` (a full reference, as `str` gives it) is for `platform`."""
        ...

    def url(self, url: str) -> str | None:
        """The checksum (sha256:…) of what is at the address."""
        ...

    def git(self, remote: str, ref: str) -> str | None:
        """The whole commit that `ref` of the repository is ("" its default branch)."""
        ...

    def place(self, kind: str, name: str, platform: str = "") -> str:
        """The line of a pin; `kind` is image, url or git, `name` what was asked for (for git `remote#ref`)."""
        ...


class NoPins:
    """Pins of a build without a lock."""

    def image(self, name: str, platform: Platform) -> str | None:
        return None

    def url(self, url: str) -> str | None:
        return None

    def git(self, remote: str, ref: str) -> str | None:
        return None

    def place(self, kind: str, name: str, platform: str = "") -> str:
        return ""


class LockPins:
    """Pins of a lock file; `file` is its name for people."""

    def __init__(self, lock: Lock, file: str) -> None:
        self._entries = {entry.key: entry for entry in lock.sources}
        self._file = file

    def image(self, name: str, platform: Platform) -> str | None:
        return self._value(IMAGE, name, str(platform.normal()))

    def url(self, url: str) -> str | None:
        return self._value(URL, spelled(url))

    def git(self, remote: str, ref: str) -> str | None:
        return self._value(GIT, spelled(at_ref(remote, ref)))

    def place(self, kind: str, name: str, platform: str = "") -> str:
        entry = self._entries.get((kind, name if kind == IMAGE else spelled(name), platform))
        return f"{self._file}:{entry.line}" if entry else self._file

    def _value(self, kind: str, name: str, platform: str = "") -> str | None:
        entry = self._entries.get((kind, name, platform))
        return entry.value if entry else None


NO_PINS = NoPins()


def agreed(pins: Pins, kind: str, name: str, pinned: str | None, written: str) -> str:
    """What both the Dockerfile (`written`, "" for nothing, maybe the first digits) and the pin say; else LockError."""
    if pinned and not pinned.startswith(written.lower()):
        raise LockError(
            f"{redacted(name)}: the checksum here is {written}, and {pins.place(kind, name)} says {pinned}",
            hint="rbuild lock takes over what the Dockerfile says",
        )
    return pinned or written


def drifted(pins: Pins, kind: str, name: str, error: BuildError) -> LockError:
    """The error for what is no longer what was locked."""
    return LockError(
        f"{error.message}, as {pins.place(kind, name)} has it",
        hint=f"what is there was changed. If that is as it should be: rbuild lock --update {spelled(name)}",
        span=error.span,
    )


def gone(pins: Pins, kind: str, name: str, error: BuildError) -> LockError:
    """The error for what was locked and is nowhere to be had."""
    return LockError(
        f"{error.message}, which {pins.place(kind, name)} locks",
        hint=f"its server has it no longer. To lock what is there now: rbuild lock --update {spelled(name)}",
        span=error.span,
    )
