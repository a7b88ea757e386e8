"""What sources are pinned to: asked before the network is. Nothing is pinned, or what a lock file says is.

resolver ─ image(name, platform) ─┐
fetcher  ─ url(address)          ─┼─► Pins ─► NO_PINS: None, always
fetcher  ─ git(remote, ref)      ─┘       └─► LockPins: the value of the line, or None
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from builder.sources.lock import GIT, IMAGE, URL, git_name, spelled

if TYPE_CHECKING:
    from builder.oci.platform import Platform
    from builder.sources.lock import Lock


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
        return self._value(GIT, git_name(remote, ref))

    def place(self, kind: str, name: str, platform: str = "") -> str:
        entry = self._entries.get((kind, name if kind == IMAGE else spelled(name), platform))
        return f"{self._file}:{entry.line}" if entry else self._file

    def _value(self, kind: str, name: str, platform: str = "") -> str | None:
        entry = self._entries.get((kind, name, platform))
        return entry.value if entry else None


NO_PINS = NoPins()
