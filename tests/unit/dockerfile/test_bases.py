"""The forecast of what images a target asks for is what lowering then asks for: no more, no less."""

from __future__ import annotations

import pytest

from builder.dockerfile.bases import images
from builder.dockerfile.checks.matter import Matter
from builder.dockerfile.lower import Settings, lower
from builder.dockerfile.parser import parse
from builder.errors import BuildError, Span
from builder.oci.config import ImageConfig
from builder.oci.platform import Platform, parse_platform
from builder.oci.resolved import ResolvedImage
from tests.support import golden

CASES = sorted(path.name for path in (golden.ROOT / "plan").iterdir())
AMD64 = parse_platform("amd64")

MANY = """\
ARG V=1
FROM golang:$V AS build
FROM --platform=$BUILDPLATFORM tools AS tools
RUN --mount=from=cache:2,target=/c --mount=from=build,target=/b true
FROM unused
FROM scratch AS out
COPY --from=build /a /
COPY --from=tools /a /
COPY --from=files:3 /a /
COPY --from=named /a /
FROM out AS other
COPY --from=1 /a /b
COPY --from=last /a /b
FROM replaced AS whole
RUN true
FROM build
COPY --from=whole / /
"""


def asked(source: str, target: str | None, named: frozenset[str], platform: Platform) -> list[tuple[str, str]]:
    """What lowering looks up, each once."""
    found: dict[tuple[str, str], None] = {}

    def resolve(name: str, platform: Platform, span: Span) -> ResolvedImage:
        found[name, str(platform)] = None
        config = ImageConfig(architecture=platform.architecture, variant=platform.variant)
        return ResolvedImage(name, f"sha256:{name.encode().hex():0<64.64}", config, ())

    settings = Settings({}, (), frozenset(), named, platform, AMD64, "host", resolve)
    lower(parse(source.encode(), "Dockerfile"), target, settings)
    return sorted(found)


def forecast(source: str, target: str | None, named: frozenset[str], platform: Platform) -> list[tuple[str, str]]:
    matter = Matter({}, platform, lambda name, platform, span: None, None, named, AMD64)
    return sorted((name, str(each)) for name, each in images(parse(source.encode(), "Dockerfile"), target, matter))


@pytest.mark.parametrize("target", [None, "build", "tools", "out", "other", "whole"])
@pytest.mark.parametrize("named", ["", "named", "build", "whole", "golang:1", "files:3::linux/arm64", "replaced"])
@pytest.mark.parametrize("platform", ["amd64", "arm64"])
def test_stages_mounts_contexts_and_platforms(target: str | None, named: str, platform: str) -> None:
    words = (MANY, target, frozenset(filter(None, (named,))), parse_platform(platform))
    assert forecast(*words) == asked(*words)


@pytest.mark.parametrize("case", CASES)
def test_the_dockerfiles_of_the_plans(case: str) -> None:
    source = (golden.ROOT / "plan" / case / "Dockerfile").read_text()
    assert forecast(source, None, frozenset(), AMD64) == asked(source, None, frozenset(), AMD64)


@pytest.mark.parametrize("source", ["FROM scratch\nCOPY --from=9 a /\n", "FROM a AS a\nCOPY --from=a b c\n"])
def test_of_what_lowering_refuses_nothing_is_foretold(source: str) -> None:
    assert forecast(source, "nowhere", frozenset(), AMD64) == []
    with pytest.raises(BuildError):
        asked(source, "nowhere", frozenset(), AMD64)
