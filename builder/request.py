"""What a build is asked for, and what it gives back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.registry.options import RegistryOptions
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.exporters.spec import Output
    from builder.layers.codec import Compression
    from builder.oci.descriptor import Descriptor


class Secret(NamedTuple):
    """A secret that a RUN may mount: `kind` is file or env, `value` the path or the variable's name.

    A `kind` of "" is either: the variable of that name where there is one, else the file.
    """

    id: str
    kind: str
    value: str


class BuildRequest(NamedTuple):
    """What to build: the options of `rbuild build`, under their names.

    `build_args` without a value are taken from the environment, as `--build-arg NAME` is.
    `offline` allows no connection for anything but a RUN; `pull` is missing, always, newer or never.
    `bundles` are paths of bundles, asked before the store and the network; the last one that has a source counts.
    `build_contexts` are pairs of name and value; `jobs` None means as many as there are CPUs.
    `platforms` None given means this machine's; several give an index.
    `add_hosts` are name and address, `ulimits` name, soft and hard limit (-1: none), `shm_size` bytes (0: the default).
    `annotations` are pairs of a key, with the level before it where one is written (`index:`), and a value.
    `build_ca` are paths of PEM files: every RUN trusts their certificates, and nothing of them is kept.
    `ssh` are pairs of id and the paths of a socket or of keys, none meaning the agent of the environment.
    `lock` is a lock file, None the one beside the Dockerfile if it is there, "" none; `locked` allows nothing else.
    """

    context: str = "."
    dockerfile: str | None = None
    target: str | None = None
    tags: tuple[str, ...] = ()
    build_args: tuple[tuple[str, str | None], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    build_contexts: tuple[tuple[str, str], ...] = ()
    outputs: tuple[Output, ...] = ()
    store: str | None = None
    isolation: str | None = None
    jobs: int | None = None
    no_cache: bool = False
    network: str = "default"
    compression: Compression = "gzip"
    offline: bool = False
    platforms: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    no_cache_filter: tuple[str, ...] = ()
    add_hosts: tuple[tuple[str, str], ...] = ()
    hostname: str = ""
    shm_size: int = 0
    ulimits: tuple[tuple[str, int, int], ...] = ()
    allow: frozenset[str] = frozenset()
    secrets: tuple[Secret, ...] = ()
    ssh: tuple[tuple[str, tuple[str, ...]], ...] = ()
    strict: bool = False
    pull: str = "missing"
    bundles: tuple[str, ...] = ()
    registry: RegistryOptions = RegistryOptions()
    lock: str | None = None
    locked: bool = False
    build_ca: tuple[str, ...] = ()


class BuildResult(NamedTuple):
    """`digest` is that of the manifest, or of the index of several platforms: that has no `config_digest` ("").

    `descriptor` carries the time of creation as an annotation, as buildx tells it. `cached` and `executed` count steps.
    """

    name: str
    digest: str
    config_digest: str
    descriptor: Descriptor
    cached: int
    executed: int
