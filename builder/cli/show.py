"""rbuild parse and rbuild plan: the early steps of a build, as text."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.cli.request import context, dockerfile, request_of

if TYPE_CHECKING:
    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors


def parse(arguments: Arguments, console: Console, doors: Doors) -> int:
    here = context(arguments)
    path = dockerfile(arguments, here) or os.path.join(here, "Dockerfile")
    with open(path, "rb") as file:
        content = file.read()
    console.out(_ended(doors.dockerfile_text(content, os.path.normpath(path))))
    return 0


def plan(arguments: Arguments, console: Console, doors: Doors) -> int:
    console.out(_ended(doors.plan_text(request_of(arguments, console.environ, doors))))
    return 0


def _ended(text: str) -> str:
    return text if text.endswith("\n") or not text else text + "\n"
