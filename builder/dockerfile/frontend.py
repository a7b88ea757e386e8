"""`# syntax=`: a request for a language, answered from what we know; no frontend is ever fetched.

Docker's own frontend, in any version, is the language of this package: what a version has that we have
not is refused where it is used. Any other frontend is another language.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.errors import NotSupported, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.dockerfile.instructions import Dockerfile

_OURS = ("docker/dockerfile", "docker/dockerfile-upstream", "dockerfile.v0")
_HOME = "docker.io/"
_NEWEST = (1, 20)  # what dockerfile-language 1.9 dates last: COPY --parents


def check_syntax(dockerfile: Dockerfile, build_args: Mapping[str, str]) -> None:
    """NotSupported when the file, or the build argument BUILDKIT_SYNTAX over it, asks for another language."""
    syntax = build_args.get("BUILDKIT_SYNTAX") or dockerfile.directives.syntax or _OURS[0]
    image = syntax.split()[0]
    name, _, version = image.removeprefix(_HOME).partition("@")[0].partition(":")
    if name not in _OURS:
        raise NotSupported(
            f"syntax={image}: frontends are not supported, and nothing is fetched to read a Dockerfile",
            span=_place(dockerfile, image),
            hint="write the file in Docker's language and remove the line",
        )
    numbers = re.match(r"(\d+)(?:\.(\d+))?", version, re.ASCII)
    if numbers and (int(numbers[1]), int(numbers[2] or 0)) > _NEWEST:
        raise NotSupported(
            f"syntax={image}: known is the language up to version {_NEWEST[0]}.{_NEWEST[1]}",
            span=_place(dockerfile, image),
            hint=f"ask for docker/dockerfile:{_NEWEST[0]}, or use a newer rbuild",
        )


def _place(dockerfile: Dockerfile, image: str) -> Span:
    lines = dockerfile.source.split("\n")
    number = next((number for number, line in enumerate(lines, 1) if image in line), 1)
    return Span(dockerfile.file, number, number)
