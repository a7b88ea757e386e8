"""The rules about what FROM names: variables, defaults, and the platform of the image that was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile.checks.matter import expanded
from builder.dockerfile.checks.near import suggestion
from builder.dockerfile.checks.rules import Finding
from builder.errors import BuildError
from builder.oci.platform import parse_platform
from builder.oci.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.dockerfile.checks.matter import Globals, Matter
    from builder.dockerfile.stages import Stage
    from builder.oci.config import ImageConfig
    from builder.oci.platform import Platform


def findings(stage: Stage, given: Globals, escape: str) -> Iterator[Finding]:
    """Of every FROM line, needed or not."""
    origin = stage.origin
    for word in (origin.platform or "", origin.image):
        for name in sorted(expanded(word, given.values, escape).unmatched - given.names):
            near = suggestion(name, given.names)
            hint = f" (did you mean {near}?)" if near else ""
            yield Finding("UndefinedArgInFrom", f"FROM argument '{name}' is not declared{hint}", origin.span)
    default = expanded(origin.image, given.defaults, escape)
    if (default.matched or default.unmatched) and not _is_reference(default.text):
        detail = f"Default value for ARG {origin.image} results in empty or invalid base image name"
        yield Finding("InvalidDefaultArgInFrom", detail, origin.span)


def _is_reference(text: str) -> bool:
    try:
        parse_reference(text)
    except BuildError:
        return False
    return True


def base_platform(stage: Stage, config: ImageConfig, matter: Matter) -> Iterator[Finding]:
    """InvalidBaseImagePlatform: the image that was found for FROM is of another system or architecture."""
    expected = wanted(stage, matter)
    if config.os and config.architecture and (config.os, config.architecture) != (expected.os, expected.architecture):
        found = "/".join(part for part in (config.os, config.architecture, config.variant) if part)
        detail = f'Base image {stage.base} was pulled with platform "{found}", expected "{expected}" for current build'
        yield Finding("InvalidBaseImagePlatform", detail, stage.origin.span)


def wanted(stage: Stage, matter: Matter) -> Platform:
    """What FROM asks for. A --platform that is none is no matter of a check: lowering refuses it."""
    try:
        return parse_platform(stage.platform) if stage.platform else matter.platform
    except BuildError:
        return matter.platform
