"""What the rules need that is not in the file, and the stages with their FROM lines expanded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile import stages as stages_of
from builder.dockerfile.stages import Stage, StageGraph
from builder.dockerfile.words import Expansion, Style, expand
from builder.errors import DockerfileError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from builder.dockerfile.ignore import Ignore
    from builder.dockerfile.instructions import Arg, Dockerfile
    from builder.errors import Span
    from builder.oci.config import ImageConfig
    from builder.oci.platform import Platform


class Matter(NamedTuple):
    """`config_of` gives the config of a base image, None where nobody has looked it up.

    `named` are the build contexts that stand for stages or images, `secrets` what the build was given; `ignore`
    is None when unknown.
    """

    build_args: Mapping[str, str]
    platform: Platform
    config_of: Callable[[str, Platform, Span], ImageConfig | None]
    ignore: Ignore | None = None
    named: frozenset[str] = frozenset()
    build_platform: Platform | None = None
    secrets: frozenset[str] = frozenset()


class Globals(NamedTuple):
    """The ARGs before the first FROM: with what the command line gives, by their defaults alone, and all names."""

    values: dict[str, str]
    defaults: dict[str, str]
    names: frozenset[str]


def global_args(dockerfile: Dockerfile, matter: Matter) -> Globals:
    automatic = _automatic(matter.platform, matter.build_platform or matter.platform)
    values = {name: matter.build_args.get(name, value) for name, value in automatic.items()}
    defaults = dict(automatic)
    names = set(automatic)
    escape = dockerfile.directives.escape
    for arg in stages_of.global_args(dockerfile):
        names |= {name for name, _ in arg.items}
        _declare(arg, values, matter.build_args, escape)
        _declare(arg, defaults, {}, escape)
    return Globals(values, defaults, frozenset(names))


def _automatic(target: Platform, build: Platform) -> dict[str, str]:
    names = {**_parts("TARGET", target), **_parts("BUILD", build)}
    return {**names, "TARGETSTAGE": "default"}


def _parts(side: str, platform: Platform) -> dict[str, str]:
    parts = {
        "PLATFORM": str(platform),
        "OS": platform.os,
        "ARCH": platform.architecture,
        "VARIANT": platform.variant,
        "OSVERSION": platform.os_version,
    }
    return {f"{side}{name}": value for name, value in parts.items()}


def _declare(arg: Arg, scope: dict[str, str], given: Mapping[str, str], escape: str) -> None:
    for name, default in arg.items:
        if name in given:
            scope[name] = given[name]
        elif default is not None:
            scope[name] = expanded(default, scope, escape).text


def expanded(word: str, scope: Mapping[str, str], escape: str) -> Expansion:
    """What cannot be expanded is not for the checks to tell: the build does, where it is needed."""
    return _expanded(word, scope, Style(escape))


def expanded_body(body: str, scope: Mapping[str, str]) -> Expansion:
    """The same for the lines of a heredoc."""
    return _expanded(body, scope, Style(quotes_are_text=True))


def _expanded(text: str, scope: Mapping[str, str], style: Style) -> Expansion:
    try:
        return expand(text, scope, style)
    except DockerfileError:
        return Expansion(text, (text,), frozenset(), frozenset())


def stage_graph(dockerfile: Dockerfile, given: Globals) -> StageGraph:
    escape = dockerfile.directives.escape
    stages = []
    for number, (origin, body) in enumerate(stages_of.split(dockerfile)):
        base = expanded(origin.image, given.values, escape).text
        platform = None if origin.platform is None else expanded(origin.platform, given.values, escape).text
        stages.append(Stage(number, (origin.name or "").lower(), base, platform, origin, body))
    return StageGraph(tuple(stages))
