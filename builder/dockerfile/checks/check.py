"""All rules over one file: the one entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile import stages as stages_of
from builder.dockerfile.checks import file_rules, from_rules, policy
from builder.dockerfile.checks.matter import Globals, Matter, global_args, stage_graph
from builder.dockerfile.checks.outline import Outliner
from builder.dockerfile.checks.stage_rules import Scope, StageRules, keys
from builder.dockerfile.checks.stage_traps import StageTraps
from builder.dockerfile.checks.traps import TRAPS
from builder.dockerfile.state import DEFAULT_PATH

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from builder.dockerfile.checks.outline import Outline
    from builder.dockerfile.checks.rules import Finding
    from builder.dockerfile.checks.stage_rules import Visitor
    from builder.dockerfile.instructions import Dockerfile
    from builder.dockerfile.stages import Stage, StageGraph


def check(
    dockerfile: Dockerfile, target: str | None, matter: Matter, *, whole: bool = False, strict: bool = False
) -> list[Finding]:
    """What counts of the findings, in order of the file; `whole` looks at stages that the target does not need too.

    `strict` looks for traps, too. How the file is written is looked at everywhere. Raises DockerfileError or
    NotFound where lowering would.
    """
    traps = StageTraps(matter.secrets, dockerfile.directives.escape) if strict else None
    silenced = policy.of_file(dockerfile, matter.build_args)
    return policy.counted(_Checking(dockerfile, matter, traps).findings(target, whole=whole), dockerfile, silenced)


def outline(dockerfile: Dockerfile, target: str | None, matter: Matter) -> Outline:
    """What a build of the target may be given. Raises DockerfileError or NotFound where lowering would."""
    visitor = Outliner(dockerfile, matter)
    checking = _Checking(dockerfile, matter, visitor)
    for _ in checking.findings(target, whole=False):
        pass
    return visitor.outline(checking.wanted(target, whole=False))


def fails(dockerfile: Dockerfile, found: Sequence[Finding], matter: Matter) -> bool:
    """Whether `error=true` turns what was found into the end of the build."""
    return any(each.rule not in TRAPS for each in found) and policy.of_file(dockerfile, matter.build_args).error


class _Checking:
    def __init__(self, dockerfile: Dockerfile, matter: Matter, visitor: Visitor | None) -> None:
        self.dockerfile = dockerfile
        self.matter = matter
        self.escape = dockerfile.directives.escape
        self.globals: Globals = global_args(dockerfile, matter)
        self.stages: StageGraph = stage_graph(dockerfile, self.globals)
        self.replaced = stages_of.Replacements(matter.named, matter.platform)
        self.visitor = visitor
        self.scopes: dict[int, Scope] = {}

    def findings(self, target: str | None, *, whole: bool) -> Iterator[Finding]:
        yield from file_rules.findings(self.dockerfile)
        for arg in stages_of.global_args(self.dockerfile):
            yield from keys(arg)
        for stage in self.stages.stages:
            yield from from_rules.findings(stage, self.globals, self.escape)
        for stage in self.wanted(target, whole=whole):
            yield from self._stage(stage)

    def wanted(self, target: str | None, *, whole: bool) -> Sequence[Stage]:
        if whole:
            return self.stages.stages
        wanted = self.stages.target(target, self.dockerfile.file)
        return stages_of.order(self.stages, wanted, self.replaced)

    def _stage(self, stage: Stage) -> Iterator[Finding]:
        scope = self._inherited(stage)
        if scope is None:
            scope = yield from self._image(stage)
        self.scopes[stage.number] = scope
        matter = self.matter
        rules = StageRules(scope, self.globals.values, matter.build_args, matter.ignore, self.escape, self.visitor)
        yield from rules.findings(stage)

    def _inherited(self, stage: Stage) -> Scope | None:
        if self._context(stage):
            return None
        parent = self.stages.before(stage.number, stage.base)
        if parent is not None:
            return self.scopes[parent.number].copy()
        return Scope({"PATH": DEFAULT_PATH}) if stage.base == "scratch" else None

    def _image(self, stage: Stage) -> Generator[Finding, None, Scope]:
        config = self.matter.config_of(
            self._context(stage) or stage.base, from_rules.wanted(stage, self.matter), stage.origin.span
        )
        if config is None:
            return Scope({"PATH": DEFAULT_PATH}, complete=False)
        yield from from_rules.base_platform(stage, config, self.matter)
        env = dict(config.env)
        return Scope({"PATH": DEFAULT_PATH, **env}, shell=config.shell or (), env=env)

    def _context(self, stage: Stage) -> str | None:
        """The build context that stands for the stage, or for its base."""
        platform = from_rules.wanted(stage, self.matter)
        names = (stage.name, stage.base)
        return next((found for name in names if (found := self.replaced.find(name, platform))), None)
