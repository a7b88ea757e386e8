"""Request → plans: the Dockerfile read and lowered once for each platform, over one graph.

No file has been copied, no process started: what is here is what `rbuild plan` shows.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.dockerfile import lower
from builder.dockerfile.checks.check import check, fails
from builder.dockerfile.checks.matter import Matter
from builder.dockerfile.parser import parse
from builder.dockerfile.run_options import Confinement
from builder.graph.graph import GraphBuilder
from builder.oci.platform import host, parse_platform
from builder.sources.context import open_context
from builder.sources.definition import read_dockerfile, read_ignore
from builder.sources.resolver import Resolver, parse_contexts

if TYPE_CHECKING:
    from builder.dockerfile.checks.rules import Finding
    from builder.dockerfile.ignore import Ignore
    from builder.dockerfile.state import Plan
    from builder.errors import Span
    from builder.oci.config import ImageConfig
    from builder.oci.platform import Platform
    from builder.request import BuildRequest
    from builder.store.store import Store

_MULTI_PLATFORM = "BUILDKIT_MULTI_PLATFORM"


def _confinement(request: BuildRequest) -> Confinement:
    """--network=host says itself that the network of the host may be used."""
    implied = {"network.host"} if request.network == "host" else set()
    return Confinement(
        hosts=request.add_hosts,
        hostname=request.hostname,
        shm_size=request.shm_size,
        ulimits=request.ulimits,
        allow=frozenset(request.allow | implied),
    )


class Planned:
    """`plans` has one plan for each of `platforms`; `graph` holds what all of them need.

    `is_index` says whether the result is an index: with several platforms it always is.
    """

    def __init__(self, request: BuildRequest, store: Store) -> None:
        definition = read_dockerfile(request.context, request.dockerfile)
        named = parse_contexts(request.build_contexts)
        given = ((name, os.environ.get(name) if value is None else value) for name, value in request.build_args)
        self.file = definition.file
        self.args = {name: value for name, value in given if value is not None}
        self.platforms = [parse_platform(text) for text in request.platforms] or [host()]
        self.is_index = len(self.platforms) > 1 or self.args.get(_MULTI_PLATFORM, "") in ("1", "true")
        self.resolver = Resolver(store, named)
        ignore = read_ignore(request.context, definition.file)
        self.contexts = {"": open_context(request.context, ignore)}
        for name, path in named.directories.items():
            self.contexts[name] = open_context(path, read_ignore(path), f"build context {name}")
        self._request = request
        self._named = named
        self._dockerfile = parse(definition.content, definition.file)
        builder = GraphBuilder()
        self.plans = [self._plan(platform, builder) for platform in self.platforms]
        self.targets = [plan.target for plan in self.plans]
        self.graph = self.plans[0].graph if len(self.plans) == 1 else builder.graph(self.targets)
        matters = [self._matter(platform, ignore) for platform in self.platforms]
        found = (each for matter in matters for each in self._found(matter))
        self.findings = list(dict.fromkeys(found))
        self.findings_fail = fails(self._dockerfile, self.findings, matters[0])

    def close(self) -> None:
        """Give the descriptors of the contexts back: a process may build many times."""
        for context in self.contexts.values():
            context.close()

    def _matter(self, platform: Platform, ignore: Ignore) -> Matter:
        named = frozenset(self._named.images) | frozenset(self._named.directories)
        return Matter(self.args, platform, self._config_of, ignore, named, host())

    def _found(self, matter: Matter) -> list[Finding]:
        return check(self._dockerfile, self._request.target, matter)

    def _config_of(self, name: str, platform: Platform, span: Span) -> ImageConfig | None:
        """None for a directory that stands for an image: it has no config."""
        return None if name in self.contexts else self.resolver.resolve(name, platform, span).config

    def _plan(self, platform: Platform, builder: GraphBuilder) -> Plan:
        request = self._request
        settings = lower.Settings(
            build_args=self.args,
            labels=request.labels,
            contexts=frozenset(self._named.directories),
            replaced=frozenset(self._named.images),
            platform=platform,
            build_platform=host(),
            network="none" if request.network == "none" else "host",
            resolve=self.resolver.resolve,
            fresh=frozenset(name.lower() for name in request.no_cache_filter),
            prefix=len(self.platforms) > 1,
            confinement=_confinement(request),
        )
        return lower.lower(self._dockerfile, request.target, settings, builder)
