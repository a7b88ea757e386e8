"""Which images a target will ask for, told before it is lowered: what FROM and --from name that is no stage.

Pure, and a forecast: what only a base image tells (its triggers, its true platform) is not in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile import stages as stages_of
from builder.dockerfile.checks import from_rules
from builder.dockerfile.checks.matter import global_args, stage_graph
from builder.errors import DockerfileError, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.dockerfile.checks.matter import Matter
    from builder.dockerfile.instructions import Dockerfile
    from builder.dockerfile.stages import Replacements, Stage, StageGraph
    from builder.oci.platform import Platform


def images(dockerfile: Dockerfile, target: str | None, matter: Matter) -> list[tuple[str, Platform]]:
    """Names as they are looked up, each once for its platform. Nothing of a file that lowering refuses."""
    stages = stage_graph(dockerfile, global_args(dockerfile, matter))
    replaced = stages_of.Replacements(matter.named, matter.platform)
    try:
        needed = stages_of.order(stages, stages.target(target, dockerfile.file), replaced)
        found = [each for stage in needed for each in _of_stage(stages, stage, replaced, matter)]
    except (DockerfileError, NotFound):
        return []
    return list(dict.fromkeys(found))


def _of_stage(
    stages: StageGraph, stage: Stage, replaced: Replacements, matter: Matter
) -> Iterator[tuple[str, Platform]]:
    platform = from_rules.wanted(stage, matter)
    whole = replaced.find(stage.name, platform)
    base = whole or replaced.find(stage.base, platform)
    if base or (stages.before(stage.number, stage.base) is None and stage.base.strip() not in ("", "scratch")):
        yield base or stage.base, platform
    for item in () if whole else stage.body:
        for name in stages_of.sources_of(item):
            source = stages.named(name, item.span)
            if source is None:
                yield replaced.find(name, platform) or name, platform
            elif context := replaced.find(source.name, from_rules.wanted(source, matter)):
                yield context, from_rules.wanted(source, matter)
