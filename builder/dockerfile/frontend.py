"""`# syntax=`: a request for a language, answered from what we know; no frontend is ever fetched.

Docker's own frontend, in any version, is the language of this package: what a version has that we have
not is refused where it is used. Any other frontend is another language.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile.directives import asked_syntax
from builder.errors import NotSupported, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS = ("docker/dockerfile", "docker/dockerfile-upstream", "dockerfile.v0")
_HOME = "docker.io/"
_NEWEST = (1, 20)  # what dockerfile-language 1.9 dates last: COPY --parents


def check_syntax(text: str, file: str, build_args: Mapping[str, str]) -> None:
    """NotSupported when the file, or the build argument BUILDKIT_SYNTAX over it, asks for another language.

    To be asked before the file is parsed: one of another language cannot be.
    """
    asked, number = asked_syntax(text) or ("", 1)
    syntax = build_args.get("BUILDKIT_SYNTAX", "").strip() or asked.strip() or _OURS[0]
    image, span = syntax.split()[0], Span(file, number, number)
    name, _, version = image.removeprefix(_HOME).partition("@")[0].partition(":")
    if name not in _OURS:
        raise NotSupported(
            f"syntax={image}: frontends are not supported, and nothing is fetched to read a Dockerfile",
            span=span,
            hint="write the file in Docker's language and remove the line",
        )
    numbers = re.match(r"(\d+)(?:\.(\d+))?", version, re.ASCII)
    if numbers and (int(numbers[1]), int(numbers[2] or 0)) > _NEWEST:
        raise NotSupported(
            f"syntax={image}: known is the language up to version {_NEWEST[0]}.{_NEWEST[1]}",
            span=span,
            hint=f"ask for docker/dockerfile:{_NEWEST[0]}, or use a newer rbuild",
        )
