"""SOURCE_DATE_EPOCH as it is said: by the build argument, or by a global ARG (dockerfile-language 1.7).

Pure: what a stage would fetch is named here and fetched by others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile.instructions import Add, Arg
from builder.errors import DockerfileError
from builder.graph.ops import CopyOp, GitOp, HttpOp
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.dockerfile.instructions import Dockerfile
    from builder.dockerfile.stages import Stage, StageGraph
    from builder.dockerfile.state import StageState
    from builder.errors import Span
    from builder.graph.graph import GraphBuilder

NAME = "SOURCE_DATE_EPOCH"
CONTEXT = "context"


class Epoch(NamedTuple):
    """`value` is "" where nothing is said; `span` the ARG that says it, None for the build argument.

    `source` is the one thing that the stage of that name fetches, None where `value` names no stage.
    """

    value: str = ""
    span: Span | None = None
    source: HttpOp | GitOp | None = None


def said(dockerfile: Dockerfile, args: Mapping[str, str], values: Mapping[str, str]) -> Epoch:
    """`values` are those of the global ARGs, `args` the build arguments, which come before the file's defaults."""
    if NAME in args:
        return Epoch(args[NAME])
    found = [item for item in dockerfile.instructions if isinstance(item, Arg) and NAME in dict(item.items)]
    return Epoch(values[NAME], found[0].span) if values.get(NAME) else Epoch()


def with_source(
    epoch: Epoch, stages: StageGraph, state_of: Callable[[Stage], StageState], builder: GraphBuilder
) -> Epoch:
    """`epoch` with what its stage fetches. DockerfileError when that stage does anything else."""
    name = epoch.value.lower()
    stage = next((stage for stage in reversed(stages.stages) if stage.name and stage.name == name), None)
    if stage is None or name == CONTEXT:
        return epoch
    adds = [item for item in stage.body if not isinstance(item, Arg)]
    if stage.base == "scratch" and len(adds) == 1 and isinstance(adds[0], Add):
        made = [builder[digest] for digest in state_of(stage).made]
        copied = [source.op for op in made if isinstance(op, CopyOp) and not op.files for source in op.sources]
        found = builder[copied[0]] if len(copied) == 1 else None
        if isinstance(found, HttpOp | GitOp):
            return epoch._replace(source=found)
    raise DockerfileError(
        f"{NAME}={epoch.value}: the stage {stage.name!r} does not say a time",
        span=stage.origin.span,
        hint="a stage that does is FROM scratch with ARGs and exactly one ADD of one address",
    )
