"""Dockerfile → stages: who builds on whom, and which of them a target needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile.faults import did_you_mean
from builder.dockerfile.instructions import Add, Arg, Copy, From, Run
from builder.errors import DockerfileError, NotFound
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.dockerfile.instructions import Dockerfile, Instruction
    from builder.errors import Span
    from builder.oci.platform import Platform


class Stage(NamedTuple):
    """`base` and `platform` are expanded; `name` is lower case, "" where there is no AS."""

    number: int
    name: str
    base: str
    platform: str | None
    origin: From
    body: tuple[Instruction, ...]

    @property
    def label(self) -> str:
        return self.name or f"stage-{self.number}"


class Replacements(NamedTuple):
    """The names that --build-context takes over: `name`, or `name::os/arch` for one platform alone."""

    names: frozenset[str]
    platform: Platform

    def find(self, name: str, platform: Platform | None = None) -> str | None:
        """The build context that stands for `name`, a stage or an image with or without its tag."""
        if not self.names or not name:
            return None
        spellings = (name, name.removesuffix(":latest"), f"{name}:latest")
        found = (key for spelled in spellings for key in (f"{spelled}::{platform or self.platform}", spelled))
        return next((key for key in found if key in self.names), None)


class StageGraph(NamedTuple):
    stages: tuple[Stage, ...]

    def before(self, index: int, name: str) -> Stage | None:
        """The stage that FROM `name` means in stage `index`: the nearest earlier one of exactly this name."""
        return next((stage for stage in reversed(self.stages[:index]) if stage.name and stage.name == name), None)

    def named(self, reference: str, span: Span) -> Stage | None:
        """The stage that --from means: a name in any case, or a number; None for anything else."""
        if reference.isdecimal():
            number = int(reference)
            if number >= len(self.stages):
                last = len(self.stages) - 1
                raise DockerfileError(f"no stage number {number}", span=span, hint=f"stages are numbered 0 to {last}")
            return self.stages[number]
        wanted = reference.lower()
        return next((stage for stage in reversed(self.stages) if stage.name == wanted), None)

    def target(self, name: str | None, file: str) -> Stage:
        """The stage to build: the last one, or that of --target (in any case; a number is no name)."""
        if name is None:
            return self.stages[-1]
        wanted = name.lower()
        for stage in reversed(self.stages):
            if stage.name == wanted:
                return stage
        names = [stage.name for stage in self.stages if stage.name]
        known = f"stages with a name: {', '.join(names)}" if names else "no stage has a name; add AS NAME to its FROM"
        near = did_you_mean(name, names)
        hint = f"{near} ({known})" if near else known
        raise NotFound(f"{file}: target stage {name!r} could not be found", hint=hint)


def split(dockerfile: Dockerfile) -> Iterator[tuple[From, tuple[Instruction, ...]]]:
    """Each FROM with the instructions that follow it."""
    starts = [number for number, item in enumerate(dockerfile.instructions) if isinstance(item, From)]
    for start, end in zip(starts, [*starts[1:], len(dockerfile.instructions)], strict=True):
        origin = dockerfile.instructions[start]
        assert isinstance(origin, From)
        yield origin, dockerfile.instructions[start + 1 : end]


def global_args(dockerfile: Dockerfile) -> list[Arg]:
    """The ARGs before the first FROM."""
    found = []
    for item in dockerfile.instructions:
        if not isinstance(item, Arg):
            break
        found.append(item)
    return found


def order(graph: StageGraph, target: Stage, replaced: Replacements) -> list[Stage]:
    """What the target needs, each stage after those that it builds on or copies from.

    `replaced` tells the names that a build context takes over. Raises DockerfileError for a circle.
    """
    done: dict[int, Stage] = {}
    open_stages: dict[int, None] = {}
    todo: list[tuple[Stage, bool]] = [(target, False)]
    while todo:
        stage, leaving = todo.pop()
        if leaving:
            del open_stages[stage.number]
            done[stage.number] = stage
        elif stage.number in open_stages:
            _refuse_circle(graph, list(open_stages), stage)
        elif stage.number not in done:
            open_stages[stage.number] = None
            todo.append((stage, True))
            todo += [(needed, False) for needed in reversed(_needs(graph, stage, replaced))]
    return list(done.values())


def _needs(graph: StageGraph, stage: Stage, replaced: Replacements) -> list[Stage]:
    """The stages that FROM and --from name; none where a build context stands for the whole stage."""
    if replaced.find(stage.name):
        return []
    found = [] if replaced.find(stage.base) else [graph.before(stage.number, stage.base)]
    for item in stage.body:
        for reference in sources_of(item):
            if not replaced.find(reference):
                found.append(graph.named(reference, item.span))
    return [needed for needed in found if needed is not None]


def sources_of(item: Instruction) -> Sequence[str]:
    """What the --from flags and from= options of an instruction name."""
    match item:
        case Copy() if item.from_ is not None:
            return (item.from_,)
        case Run():
            return tuple(value for mount in item.mounts for name, value in mount.options if name == "from" and value)
        case Add():
            return ()
        case _:
            return ()


def _refuse_circle(graph: StageGraph, path: list[int], stage: Stage) -> None:
    circle = [*path[path.index(stage.number) :], stage.number]
    names = " -> ".join(graph.stages[index].label for index in circle)
    raise DockerfileError(
        f"circular dependency between stages: {names}",
        span=stage.origin.span,
        hint="a stage cannot copy from itself or from a stage that is built on it",
    )
