"""What a build of one target may be given, and which targets a file has: the answers of --call=outline and targets."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from builder.dockerfile import instructions as ins
from builder.dockerfile.checks.file_rules import describes
from builder.dockerfile.checks.matter import expanded, global_args, stage_graph
from builder.dockerfile.mounts import resolve
from builder.dockerfile.stages import global_args as args_before_from
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from builder.dockerfile.checks.matter import Matter
    from builder.dockerfile.checks.rules import Finding
    from builder.dockerfile.checks.stage_rules import StageRules
    from builder.dockerfile.instructions import Dockerfile
    from builder.dockerfile.stages import Stage
    from builder.errors import Span


class Argument(NamedTuple):
    """`value` is what a build would use, None for nothing."""

    name: str
    value: str | None
    description: str | None
    span: Span


class Given(NamedTuple):
    """A secret or an ssh agent."""

    name: str
    required: bool
    span: Span


class Cache(NamedTuple):
    id: str
    span: Span


class Outline(NamedTuple):
    """Each in order of the file, the first place of each name."""

    name: str
    description: str | None
    args: tuple[Argument, ...]
    secrets: tuple[Given, ...]
    ssh: tuple[Given, ...]
    caches: tuple[Cache, ...]


class Target(NamedTuple):
    name: str
    default: bool
    description: str | None
    base: str
    span: Span


def targets(dockerfile: Dockerfile, matter: Matter) -> list[Target]:
    """The stages with a name, and the last one."""
    stages = stage_graph(dockerfile, global_args(dockerfile, matter)).stages
    about = _comments(dockerfile)
    return [
        Target(
            stage.name,
            stage is stages[-1],
            describes(about[stage.origin.span], stage.name),
            stage.base,
            stage.origin.span,
        )
        for stage in stages
        if stage.name or stage is stages[-1]
    ]


def _comments(dockerfile: Dockerfile) -> dict[Span, tuple[str, ...]]:
    return {item.span: node.comments for node, item in zip(dockerfile.nodes, dockerfile.instructions, strict=True)}


class Outliner:
    """A visitor of the stages that the target needs."""

    def __init__(self, dockerfile: Dockerfile, matter: Matter) -> None:
        self._dockerfile = dockerfile
        self._matter = matter
        self._about = _comments(dockerfile)
        self._escape = dockerfile.directives.escape
        self._args: dict[str, Argument] = {}
        self._secrets: dict[str, Given] = {}
        self._agents: dict[str, Given] = {}
        self._caches: dict[str, Cache] = {}

    def findings(self, item: ins.Instruction, before: ins.Instruction | None, walk: StageRules) -> Iterator[Finding]:
        if isinstance(item, ins.Arg):
            for name, default in item.items:
                self._argument(item, name, walk.value(name, default))
        elif isinstance(item, ins.Run):
            for spec in item.mounts:
                self._mount(spec, walk.scope.variables, item.span)
        yield from ()

    def outline(self, needed: Sequence[Stage]) -> Outline:
        """What was seen of `needed`, of which the target is the last, with the ARGs that their FROM lines name."""
        self._before_from(needed)
        target = needed[-1]
        return Outline(
            target.name,
            describes(self._about[target.origin.span], target.name),
            tuple(sorted(self._args.values(), key=lambda each: each.span.first)),
            tuple(sorted(self._secrets.values(), key=lambda each: each.span.first)),
            tuple(sorted(self._agents.values(), key=lambda each: each.span.first)),
            tuple(sorted(self._caches.values(), key=lambda each: each.span.first)),
        )

    def _before_from(self, needed: Sequence[Stage]) -> None:
        """ARGs before the first FROM; where a stage declares one again, its own place and value stand for both."""
        values = global_args(self._dockerfile, self._matter).values
        wanted = {name for stage in needed for name in self._names(stage.origin.image, stage.origin.platform)}
        wanted |= self._args.keys()
        for arg in reversed(args_before_from(self._dockerfile)):
            for name, default in reversed(arg.items):
                if name in wanted:
                    wanted |= self._names(default)
                    self._argument(arg, name, values.get(name))
                    if self._args[name].description is None:
                        about = describes(self._about[arg.span], name)
                        self._args[name] = self._args[name]._replace(description=about)

    def _names(self, *words: str | None) -> set[str]:
        found = [expanded(word, {}, self._escape) for word in words if word]
        return {name for each in found for name in each.unmatched}

    def _argument(self, item: ins.Arg, name: str, value: str | None) -> None:
        description = describes(self._about.get(item.span, ()), name)
        self._args.setdefault(name, Argument(name, value, description, item.span))

    def _mount(self, spec: ins.MountSpec, variables: Mapping[str, str], span: Span) -> None:
        mount = resolve(spec, lambda raw: expanded(raw, variables, self._escape).text)
        name = mount.id or ""
        if mount.type == "cache":
            name = name or posixpath.normpath(mount.target or "/")
            self._caches.setdefault(name, Cache(name, span))
        elif mount.type in ("secret", "ssh"):
            kind = self._secrets if mount.type == "secret" else self._agents
            known = kind.setdefault(name, Given(name, mount.required, span))
            kind[name] = known._replace(required=known.required or mount.required)
