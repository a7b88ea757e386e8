"""rbuild load: images from an archive into the store."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from builder.errors import UsageError

if TYPE_CHECKING:
    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors


def run(arguments: Arguments, console: Console, doors: Doors) -> int:
    path = arguments.operand("-")
    if path == "-" and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError("load -: standard input is a terminal", hint="rbuild load FILE, or pipe an archive in")
    if path != "-" and not os.path.exists(path):
        raise UsageError(f"{path}: there is no such file")
    for tag in doors.load_archive(path, doors.open_store(arguments.one("store"))):
        console.out(f"{tag}\n")
    return 0
