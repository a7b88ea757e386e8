"""Stages → plan: a fold over each stage's instructions (in `steps`), with FROM and the whole here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile import epoch_value, steps
from builder.dockerfile import stages as stages_of
from builder.dockerfile.chain import Chain
from builder.dockerfile.context_base import from_context
from builder.dockerfile.expand import expand
from builder.dockerfile.frontend import check_syntax
from builder.dockerfile.gitref import redacted
from builder.dockerfile.parser import parse_trigger
from builder.dockerfile.run_options import Confinement
from builder.dockerfile.stages import Replacements, Stage, StageGraph
from builder.dockerfile.state import DEFAULT_PATH, Plan, StageState
from builder.errors import BuildError, DockerfileError
from builder.graph.graph import GraphBuilder, Note
from builder.graph.ops import ContextOp, ImageOp, ScratchOp
from builder.oci.config import ImageConfig
from builder.oci.platform import parse_platform
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from builder.dockerfile.epoch_value import Epoch
    from builder.dockerfile.instructions import Dockerfile, From, Instruction
    from builder.errors import Span
    from builder.graph.ops import Op
    from builder.oci.platform import Platform
    from builder.oci.resolved import ResolvedImage


class Settings(NamedTuple):
    """What a plan depends on beside the Dockerfile.

    `contexts` names the directories of --build-context, `replaced` the images that it names: neither is
    looked up as a stage. `resolve` pins an image for a platform and raises NotFound when there is none.
    `platform` is what is built for, `build_platform` what is built on; the programs of a stage are those of
    its base image, whatever was asked for. Stages whose names are in `fresh` are run again. `prefix` says
    whether steps are shown with their platform.
    """

    build_args: Mapping[str, str]
    labels: tuple[tuple[str, str], ...]
    contexts: frozenset[str]
    replaced: frozenset[str]
    platform: Platform
    build_platform: Platform
    network: str
    resolve: Callable[[str, Platform, Span], ResolvedImage]
    fresh: frozenset[str] = frozenset()
    prefix: bool = False
    confinement: Confinement = Confinement()


def lower(dockerfile: Dockerfile, target: str | None, settings: Settings, builder: GraphBuilder | None = None) -> Plan:
    """The plan for one target. Raises DockerfileError, NotSupported or NotFound, each with its place in the file.

    Plans that share a `builder` share the ops that they have in common; their `graph` is that of the builder.
    """
    check_syntax(dockerfile.source, dockerfile.file, settings.build_args)
    lowering = _Lowering(dockerfile, target, settings, builder or GraphBuilder())
    wanted = lowering.stages.target(target, dockerfile.file)
    for stage in stages_of.order(lowering.stages, wanted, lowering.replacements):
        lowering.state_of(stage)
    state = lowering.state_of(wanted)
    return Plan(
        graph=lowering.builder.graph([state.root]),
        stage=wanted.label,
        target=state.root,
        base=state.base,
        made=tuple(state.made),
        config=_finished(state, settings),
        unused_args=tuple(name for name in settings.build_args if name not in lowering.used_args),
        fresh=frozenset(lowering.fresh),
        epoch=lowering.epoch(dockerfile),
    )


def _finished(state: StageState, settings: Settings) -> ImageConfig:
    """The config of the image: CLI labels on top."""
    return state._replace(labels=state.labels.merged(settings.labels)).finished()


class _Lowering:
    """The parts of one lowering: the graph that grows and the stages that are done."""

    def __init__(self, dockerfile: Dockerfile, target: str | None, settings: Settings, builder: GraphBuilder) -> None:
        self.settings = settings
        self.escape = dockerfile.directives.escape
        self.builder = builder
        self.replacements = Replacements(settings.replaced | settings.contexts, settings.platform)
        self.fresh: set[str] = set()
        self.used_args: set[str] = set()
        self.globals = self._automatic_args(target)
        self._states: dict[int, StageState] = {}
        self._open: set[int] = set()
        for arg in stages_of.global_args(dockerfile):
            for name, value in arg.items:
                self._declare_global(name, value, arg.span)
        self.stages = self._split(dockerfile)

    def build_arg(self, name: str) -> str | None:
        self.used_args.add(name)
        return self.settings.build_args.get(name)

    def _automatic_args(self, target: str | None) -> dict[str, str]:
        """The platform ARGs and TARGETSTAGE. --build-arg overrides them like others."""
        sides = (("TARGET", self.settings.platform), ("BUILD", self.settings.build_platform))
        values = {f"{side}{name}": value for side, platform in sides for name, value in _parts(platform).items()}
        values["TARGETSTAGE"] = target.lower() if target else "default"
        return {name: self.settings.build_args.get(name, value) for name, value in values.items()}

    def _declare_global(self, name: str, default: str | None, span: Span) -> None:
        value = self.build_arg(name)
        if value is None and default is not None:
            value = expand(default, self.globals, self.escape, span)
        if value is not None:
            self.globals[name] = value

    def _split(self, dockerfile: Dockerfile) -> StageGraph:
        found = [self._stage(number, *parts) for number, parts in enumerate(stages_of.split(dockerfile))]
        if not found:
            raise DockerfileError(f"{dockerfile.file}: contains no stages to build", hint="start it with a FROM line")
        return StageGraph(tuple(found))

    def _stage(self, number: int, origin: From, body: tuple[Instruction, ...]) -> Stage:
        platform = None
        if origin.platform is not None:
            platform = expand(origin.platform, self.globals, self.escape, origin.span)
        base = expand(origin.image, self.globals, self.escape, origin.span)
        return Stage(number, (origin.name or "").lower(), base, platform, origin, body)

    def epoch(self, dockerfile: Dockerfile) -> Epoch:
        said = epoch_value.said(dockerfile, self.settings.build_args, self.globals)
        if said.value in self.settings.contexts | self.settings.replaced:
            return said
        return epoch_value.with_source(said, self.stages, self.state_of, self.builder)

    def state_of(self, stage: Stage) -> StageState:
        """The state at the end of a stage, lowered once. An ONBUILD trigger may ask for a stage not yet done."""
        if stage.number not in self._states:
            if stage.number in self._open:
                raise DockerfileError(f"circular dependency on stage {stage.label!r}", span=stage.origin.span)
            self._open.add(stage.number)
            self._states[stage.number] = self._lower_stage(stage)
        return self._states[stage.number]

    def _lower_stage(self, stage: Stage) -> StageState:
        state = self._start(stage)
        replaced = self.replacements.find(stage.name, self._platform(stage)) is not None
        body, before = () if replaced else self._body(state.triggers, stage), len(state.made)
        around = _StageSurroundings(self, stage, _count(body), state.platform)
        state = state._replace(triggers=Chain(), cmd_set=False)
        for item in body:
            state = steps.lower(state, item, around)
        if stage.name and stage.name in self.settings.fresh:
            self.fresh.update(tuple(state.made)[before:])
        return state

    def _body(self, triggers: Iterable[str], stage: Stage) -> tuple[Instruction, ...]:
        """The triggers of the base, then the instructions of the stage."""
        return (*(parse_trigger(text, stage.origin.span) for text in triggers), *stage.body)

    def _start(self, stage: Stage) -> StageState:
        """What FROM gives: another stage, nothing, or an image, looked up in this order."""
        if not stage.base.strip():
            raise DockerfileError(
                f"base name ({stage.origin.image}) should not be blank",
                span=stage.origin.span,
                hint="give the ARG that it uses a default, or pass --build-arg",
            )
        platform = self._platform(stage)
        for name in (stage.name, stage.base):
            if replaced := self.replacements.find(name, platform):
                if replaced in self.settings.contexts:
                    return self._directory(replaced, stage, platform)
                return self._image(replaced, stage, platform)
        parent = self.stages.before(stage.number, stage.base)
        if parent is not None:
            return self.state_of(parent)
        return self._scratch(platform) if stage.base == "scratch" else self._image(stage.base, stage, platform)

    def _platform(self, stage: Stage) -> Platform:
        """What --platform of FROM says, else what is built for."""
        if stage.platform is None:
            return self.settings.platform
        try:
            return parse_platform(stage.platform)
        except BuildError as error:
            written = f" ({stage.origin.platform})" if stage.origin.platform != stage.platform else ""
            raise DockerfileError(
                f"FROM --platform={stage.platform}{written}: {error.message}", span=stage.origin.span, hint=error.hint
            ) from error

    def _scratch(self, platform: Platform) -> StageState:
        config = ImageConfig(
            os=platform.os,
            architecture=platform.architecture,
            variant=platform.variant,
            env=(("PATH", DEFAULT_PATH),),
            working_dir="/",
        )
        return StageState.begun(self.builder.add(ScratchOp()), config, platform)

    def _directory(self, name: str, stage: Stage, platform: Platform) -> StageState:
        empty = self._scratch(platform)
        step = f"[{self.shown(stage, platform)} 1/{_count(self._body((), stage))}] FROM {name}"
        return from_context(name, empty, self.builder, Note(stage.label, step, stage.origin.span))

    def _image(self, name: str, stage: Stage, platform: Platform) -> StageState:
        image = self.settings.resolve(name, platform, stage.origin.span)
        config = image.config
        if "PATH" not in dict(config.env):
            config = config._replace(env=(*config.env, ("PATH", DEFAULT_PATH)))
        step = f"[{self.shown(stage, platform)} 1/{_count(self._body(config.on_build, stage))}] FROM {image.name}"
        root = self.add_image(image, Note(stage.label, step, stage.origin.span))
        return StageState.begun(root, config, config.platform, image)

    def shown(self, stage: Stage, platform: Platform | None) -> str:
        """The stage as steps of it are headed: several platforms at once are told apart."""
        return f"{platform} {stage.label}" if self.settings.prefix and platform else stage.label

    def add_image(self, image: ResolvedImage, note: Note) -> str:
        return self.builder.add(ImageOp(image.manifest, tuple(layer.diff_id for layer in image.layers)), note)


def _parts(platform: Platform) -> dict[str, str]:
    return {
        "PLATFORM": str(platform),
        "OS": platform.os,
        "ARCH": platform.architecture,
        "VARIANT": platform.variant,
        "OSVERSION": platform.os_version,
    }


def _count(body: tuple[Instruction, ...]) -> int:
    """The steps of a stage, FROM included."""
    return 1 + sum(steps.is_step(item) for item in body)


class _StageSurroundings:
    """The Surroundings of one stage: counts its steps, for display."""

    def __init__(self, lowering: _Lowering, stage: Stage, count: int, platform: Platform | None) -> None:
        self.builder = lowering.builder
        self.stages = lowering.stages
        self.globals = lowering.globals
        self.escape = lowering.escape
        self.network = lowering.settings.network
        self.confinement = lowering.settings.confinement
        self.contexts = lowering.settings.contexts
        self.build_platform = lowering.settings.build_platform
        self.build_arg = lowering.build_arg
        self.state_of = lowering.state_of
        self._lowering = lowering
        self._platform = platform or lowering.settings.platform
        self._label = stage.label
        self._shown_as = lowering.shown(stage, platform)
        self._total = count
        self._shown = 1

    def image_root(self, name: str, span: Span) -> str:
        wanted = self._lowering.replacements.find(name, self._platform) or name
        if wanted in self.contexts:
            return self.builder.add(ContextOp(wanted))
        image = self._lowering.settings.resolve(wanted, self._platform, span)
        return self._lowering.add_image(image, Note(self._label, f"[{self._shown_as}] image {image.name}", span))

    def fetched(self, op: Op, shown: str, span: Span) -> str:
        return self.builder.add(op, Note(self._label, f"[{self._shown_as}] fetch {shown}", span))

    def note(self, text: str, span: Span) -> Note:
        self._shown += 1
        return Note(self._label, f"[{self._shown_as} {self._shown}/{self._total}] {redacted(text)}", span)
