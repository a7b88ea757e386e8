"""rbuild parse and rbuild plan: the early steps of a build, as text."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.cli.request import context, dockerfile, request_of
from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors


def parse(arguments: Arguments, console: Console, doors: Doors) -> int:
    from builder.dockerfile.gitref import redacted

    here = context(arguments)
    given = dockerfile(arguments, here)
    if "-" in (here, given):
        with open(0, "rb", closefd=False) as file:
            console.out(_ended(doors.dockerfile_text(file.read(), "Dockerfile")))
        return 0
    for source in filter(None, (given, here)):
        if not os.path.exists(source):
            raise UsageError(
                f"parse reads a local Dockerfile or standard input, and not {redacted(source)}",
                hint="rbuild plan fetches what is elsewhere",
            )
    from builder.sources.definition import read_dockerfile

    found = read_dockerfile(here, given)
    console.out(_ended(doors.dockerfile_text(found.content, found.file)))
    return 0


def plan(arguments: Arguments, console: Console, doors: Doors) -> int:
    console.out(_ended(doors.plan_text(request_of(arguments, console.environ, doors))))
    return 0


def _ended(text: str) -> str:
    return text if text.endswith("\n") or not text else text + "\n"
