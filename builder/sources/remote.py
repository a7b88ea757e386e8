"""Where images come from that are not on this machine: registries, or nobody, who says why.

Registries   asks; makes its connections, and imports what makes them, on the first question
Refusing     of --pull=never and --offline: every question is an error that says what would have been asked
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from typing import TYPE_CHECKING, Protocol

from builder.errors import BuildError, NotFound, OfflineError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from builder.events import Flag
    from builder.oci.descriptor import Descriptor
    from builder.oci.platform import Platform
    from builder.oci.reference import Reference
    from builder.registry.options import RegistryOptions
    from builder.registry.registry import Registry
    from builder.registry.routes import Routes
    from builder.store.store import Store

    Moved = Callable[[str, int, int], None]  # digest, bytes so far, bytes


_RESOLVER = 40.0  # seconds after which the system's resolver has given up with three servers


class Remote(Protocol):
    """`reachable` tells whether asking is of any use. Every method may be called from several threads."""

    reachable: bool

    def qualify(self, text: str) -> Reference:
        """The full reference that a name written in a Dockerfile stands for. Asks nobody."""
        ...

    def digest(self, reference: Reference) -> str | None:
        """What the tag stands for now; None if the registry tells it with the document alone."""
        ...

    def documents(self, reference: Reference, platform: Platform) -> Descriptor:
        """Bring index, manifest and config into the store, under the reference's name. No layers."""
        ...

    def rest(self, reference: Reference, root: Descriptor, platform: Platform) -> None:
        """Bring the documents that are missing of an image whose index or manifest is known, under no name."""
        ...

    def settle(self) -> None:
        """Leave no thread behind: the user namespace is entered without any."""
        ...

    def close(self) -> None: ...

    def layer(self, reference: Reference, layer: Descriptor, moved: Moved) -> None:
        """Bring one blob into the store; `moved(digest, bytes so far, bytes)` is told of it."""
        ...


class ShortNames:
    """Aliases of registries.conf, which is read when a name is not known to the store."""

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._routes: Routes | None = None

    def qualify(self, text: str) -> Reference:
        if self._routes is None:
            from builder.registry.routes import Routes

            self._routes = Routes(self._options, os.environ)
        return self._routes.qualify(text).or_latest()


class Registries(ShortNames):
    """One `Registry` for a build, made on the first question."""

    reachable = True

    def __init__(self, options: RegistryOptions, store: Store, cancelled: Flag) -> None:
        super().__init__(options)
        self._store = store
        self._cancelled = cancelled
        self._guard = allocate_lock()
        self._registry: Registry | None = None

    def digest(self, reference: Reference) -> str | None:
        found = self._opened().head(reference)
        return found.digest if found else None

    def documents(self, reference: Reference, platform: Platform) -> Descriptor:
        from builder.registry.pull import documents

        return documents(self._opened(), reference, self._store, platform)

    def rest(self, reference: Reference, root: Descriptor, platform: Platform) -> None:
        from builder.registry.pull import complete

        complete(self._opened(), reference, self._store, root, platform)

    def layer(self, reference: Reference, layer: Descriptor, moved: Moved) -> None:
        from builder.registry.pull import layers

        layers(self._opened(), reference, self._store, [layer], moved=moved)

    def settle(self) -> None:
        if self._registry is not None:
            from builder.net.dial import settle

            settle(_RESOLVER, self._cancelled)

    def close(self) -> None:
        if self._registry is not None:
            self._registry.close()

    def _opened(self) -> Registry:
        from builder.registry.registry import Registry

        with self._guard:
            if self._registry is None:
                self._registry = Registry(self._options, os.environ, self._cancelled)
            return self._registry


class Refusing(ShortNames):
    """`refuse(what, familiar name)` makes the error."""

    reachable = False

    def __init__(self, options: RegistryOptions, refuse: Callable[[str, str], BuildError]) -> None:
        super().__init__(options)
        self._refuse = refuse

    def digest(self, reference: Reference) -> str | None:
        raise self._refuse(f"image {reference.familiar()}", reference.familiar())

    def documents(self, reference: Reference, platform: Platform) -> Descriptor:
        raise self._refuse(f"image {reference.familiar()} for {platform}", reference.familiar())

    def rest(self, reference: Reference, root: Descriptor, platform: Platform) -> None:
        raise self._refuse(f"image {reference.familiar()} for {platform}", reference.familiar())

    def layer(self, reference: Reference, layer: Descriptor, moved: Moved) -> None:
        raise self._refuse(f"layer {layer.digest} of image {reference.familiar()}", reference.familiar())

    def settle(self) -> None: ...

    def close(self) -> None: ...


def never(what: str, name: str) -> BuildError:
    return NotFound(
        f"{what} is not in the store, and --pull=never forbids to ask a registry",
        hint=f"pull it with `rbuild pull {name}`, load it with `rbuild load FILE`, or name one on this machine with "
        "--build-context",
    )


def offline(what: str, name: str) -> BuildError:
    return OfflineError(
        f"{what} is not in the store, and --offline forbids to pull it",
        wanted=what,
        hint=f"where there is a network: `rbuild pull {name}`, or build once without --offline",
    )


def remote_of(options: RegistryOptions, pull: str, store: Store, cancelled: Flag, *, is_offline: bool) -> Remote:
    """Of a build. UsageError for options that contradict each other."""
    if is_offline and pull in ("always", "newer"):
        raise UsageError(f"--offline and --pull={pull} exclude one another", hint="leave one of them away")
    if is_offline:
        return Refusing(options, offline)
    return Refusing(options, never) if pull == "never" else Registries(options, store, cancelled)
