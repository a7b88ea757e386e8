"""Request → plans: the Dockerfile read and lowered once for each platform, over one graph.

No file has been copied, no process started: what is here is what `rbuild plan` shows.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.dockerfile import lower
from builder.dockerfile.checks import policy
from builder.dockerfile.checks.check import check, fails
from builder.dockerfile.checks.matter import Matter
from builder.dockerfile.checks.traps import TRAPS
from builder.dockerfile.epoch_value import NAME
from builder.dockerfile.frontend import check_syntax
from builder.dockerfile.instructions import From
from builder.dockerfile.lexer import decode
from builder.dockerfile.parser import parse
from builder.dockerfile.run_options import Confinement
from builder.errors import BuildError, OfflineError
from builder.graph.graph import GraphBuilder
from builder.graph.ops import inputs
from builder.needs import Needs, look_for_downloads, of_contexts, of_plan, stand_in
from builder.oci.platform import host, parse_platform
from builder.sources.absent import Absent
from builder.sources.base_layers import BaseLayers, Halt
from builder.sources.credentials import Credentials, secret_reader
from builder.sources.fetcher import Fetcher
from builder.sources.inputs import Inputs, open_inputs
from builder.sources.remote import remote_of
from builder.sources.resolver import Resolver
from builder.sources.search import Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.dockerfile.checks.rules import Finding
    from builder.dockerfile.ignore import Ignore
    from builder.dockerfile.state import Plan
    from builder.errors import Span
    from builder.events import Flag
    from builder.graph.graph import Graph
    from builder.oci.config import ImageConfig
    from builder.oci.platform import Platform
    from builder.oci.resolved import ResolvedImage
    from builder.request import BuildRequest
    from builder.sources.bundles import Bundles
    from builder.sources.definition import Definition
    from builder.sources.pins import Pins
    from builder.sources.resolver import NamedContexts
    from builder.store.store import Store

_MULTI_PLATFORM = "BUILDKIT_MULTI_PLATFORM"
_TRUE = ("1", "true", "True", "TRUE", "t", "T")


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


def _bundles(request: BuildRequest, store: Store) -> Bundles | None:
    if not request.bundles:
        return None
    from builder.sources.bundles import Bundles

    return Bundles(request.bundles, store)


def _fetcher(request: BuildRequest, store: Store, cancelled: Flag, bundles: Bundles | None) -> Fetcher:
    agents = dict(request.ssh).get("default")
    agent = (agents[0] if agents else os.environ.get("SSH_AUTH_SOCK", "")) if agents is not None else ""
    credentials = Credentials(secret_reader(request.secrets, os.environ), agent)
    return Fetcher(store, credentials, cancelled, offline=request.offline, bundles=bundles)


def _inputs(request: BuildRequest, store: Store, fetcher: Fetcher, needs: Needs, absent: Absent) -> Inputs:
    """What is fetched after the Dockerfile is known follows its lock."""

    def follow(definition: Definition, root: str | None) -> None:
        fetcher.pins = needs.follow(definition, root)

    return open_inputs(
        request.context,
        request.dockerfile,
        request.build_contexts,
        store,
        fetcher,
        absent=absent,
        keep_git_dir=dict(request.build_args).get("BUILDKIT_CONTEXT_KEEP_GIT_DIR") in _TRUE,
        lock=request.lock,
        bundles=request.bundles,
        told=follow,
    )


def _resolver(
    request: BuildRequest,
    named: NamedContexts,
    store: Store,
    cancelled: Flag,
    pins: Pins,
    bundles: Bundles | None,
) -> tuple[Search, Resolver]:
    halt = Halt(cancelled)
    remote = remote_of(request.registry, request.pull, store, halt, is_offline=request.offline)
    search = Search(store, remote, request.pull)
    return search, Resolver(store, named, search, BaseLayers(store, remote, halt), pins, bundles)


class Planned:
    """`plans` has one plan for each of `platforms`; `graph` holds what all of them need.

    `is_index` says whether the result is an index: with several platforms it always is.
    """

    def __init__(self, request: BuildRequest, store: Store, cancelled: Flag, pins: Pins | None = None) -> None:
        """`pins` are taken instead of those of a lock."""
        self._absent = Absent()
        self.bundles = _bundles(request, store)
        self.needs = Needs(request, pins)
        try:
            self.fetcher = _fetcher(request, store, cancelled, self.bundles)
            self.inputs = _inputs(request, store, self.fetcher, self.needs, self._absent)
        except BaseException:
            self._close_bundles()
            raise
        self.needs.add(of_contexts(self.inputs.named.directories))
        given = ((name, os.environ.get(name) if value is None else value) for name, value in request.build_args)
        self.file = self.inputs.definition.file
        self.args = {name: value for name, value in given if value is not None}
        if os.environ.get(NAME):
            self.args.setdefault(NAME, os.environ[NAME])
        self.platforms = [parse_platform(text) for text in request.platforms] or [host()]
        self.is_index = len(self.platforms) > 1 or self.args.get(_MULTI_PLATFORM, "") in ("1", "true")
        self.search, self.resolver = _resolver(
            request, self.inputs.named, store, cancelled, self.needs.pins, self.bundles
        )
        self.contexts = self.inputs.contexts
        self._request = request
        self._named = self.inputs.named
        try:
            self._lower()
        except BaseException as error:
            self.__exit__(None, error, None)
            raise

    def __enter__(self) -> Planned:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Give the descriptors of the contexts back: a process may build many times.

        An error gets the text that its place is in: it may have come from a pipe.
        """
        self.inputs.close()
        self.search.close()
        self._close_bundles()
        if isinstance(error, BuildError) and error.span and error.span.file == self.file:
            error.source = self.inputs.definition.content

    def _close_bundles(self) -> None:
        if self.bundles:
            self.bundles.close()

    def _lower(self) -> None:
        content, request = self.inputs.definition.content, self._request
        check_syntax(decode(content, self.file), self.file, self.args)
        self._dockerfile = parse(content, self.file)
        builder = GraphBuilder()
        matters = [self._matter(platform, self.contexts[""].ignore) for platform in self.platforms]
        self.resolver.ahead = lambda: [each for matter in matters for each in self._images(matter, request.target)]
        try:
            self.plans = [self._plan(platform, builder, request.target) for platform in self.platforms]
        except BuildError as error:
            self.needs.refuse()
            if self._absent:
                raise self._absent.error(content) from error
            raise
        self.targets = [plan.target for plan in self.plans]
        self.graph = self.plans[0].graph if len(self.plans) == 1 else builder.graph(self.targets)
        for plan in self.plans:
            self.needs.add(of_plan(plan))
        self.needs.refuse()
        if self._absent:
            self.need_downloads()
        found = (each for matter in matters for each in self._found(matter))
        self.findings = list(dict.fromkeys(found))
        self.traps = [each for each in self.findings if each.rule in TRAPS]
        self.findings_fail = fails(self._dockerfile, self.findings, matters[0])

    def plan_all(self) -> None:
        """Tell `needs` those of every stage that could be a target."""
        self.surveyed(())

    def surveyed(self, targets: Sequence[str]) -> tuple[Graph, list[str]]:
        """One graph of what these stages need on all platforms, with their ops; none given: of every possible target.

        `needs` are told. A stage without a name is nobody's target: it is there for those that need it, or the last.
        """
        froms = (item for item in self._dockerfile.instructions if isinstance(item, From))
        every = dict.fromkeys(item.name for item in froms if item.name)
        wanted: list[str | None] = [*targets] if targets else [None, *every]
        builder = GraphBuilder()
        matters = [self._matter(platform, self.contexts[""].ignore) for platform in self.platforms]
        self.resolver.ahead = lambda: [
            each for matter in matters for target in wanted for each in self._images(matter, target)
        ]
        plans = [self._plan(platform, builder, target) for platform in self.platforms for target in wanted]
        if self._absent:
            raise self._absent.error(self.inputs.definition.content)
        roots = list(dict.fromkeys(plan.target for plan in plans))
        graph = builder.graph(roots)
        for plan in plans:
            self.needs.add(of_plan(plan))
        self.needs.refuse()
        return graph, roots

    def need_downloads(self) -> None:
        """Of a build that may not fetch: raises one OfflineError for all that it would."""
        look_for_downloads(self.graph, self.plans, self.fetcher, self._absent)
        if self._absent:
            raise self._absent.error(self.inputs.definition.content)

    def _images(self, matter: Matter, target: str | None) -> list[tuple[str, Platform]]:
        """What will be looked up, as far as the file tells."""
        from builder.dockerfile import bases

        found = bases.images(self._dockerfile, target, matter)
        return [
            (name, platform)
            for name, platform in found
            if name not in self._named.directories and self.needs.allows(self.resolver, name, platform)
        ]

    def _resolve(self, name: str, platform: Platform, span: Span) -> ResolvedImage:
        try:
            return self.needs.resolve(self.resolver, name, platform, span)
        except OfflineError as error:
            self._absent.add(error, span)
            return stand_in(name, platform)

    def fresh(self) -> set[str]:
        """The ops of --no-cache-filter and all that stands on them."""
        wanted = {digest for plan in self.plans for digest in plan.fresh}
        found: set[str] = set()
        for digest in self.graph.order(self.targets):
            if digest in wanted or found.intersection(inputs(self.graph[digest])):
                found.add(digest)
        return found

    def _matter(self, platform: Platform, ignore: Ignore) -> Matter:
        named = frozenset(self._named.images) | frozenset(self._named.directories)
        secrets = frozenset(item.id for item in self._request.secrets)
        return Matter(self.args, platform, self._config_of, ignore, named, host(), secrets)

    def _found(self, matter: Matter) -> list[Finding]:
        return check(self._dockerfile, self._request.target, matter, strict=self._request.strict)

    def counts(self, trap: Finding) -> bool:
        """Whether nobody said in the file that it is meant."""
        return bool(policy.counted([trap], self._dockerfile, policy.of_file(self._dockerfile, self.args)))

    def _config_of(self, name: str, platform: Platform, span: Span) -> ImageConfig | None:
        """None for a directory that stands for an image: it has no config."""
        return None if name in self._named.directories else self._resolve(name, platform, span).config

    def _plan(self, platform: Platform, builder: GraphBuilder, target: str | None) -> Plan:
        request = self._request
        settings = lower.Settings(
            build_args=self.args,
            labels=request.labels,
            contexts=frozenset(self._named.directories),
            replaced=frozenset(self._named.images),
            platform=platform,
            build_platform=host(),
            network="none" if request.network == "none" else "host",
            resolve=self._resolve,
            fresh=frozenset(name.lower() for name in request.no_cache_filter),
            prefix=len(self.platforms) > 1,
            confinement=_confinement(request),
        )
        return lower.lower(self._dockerfile, target, settings, builder)
