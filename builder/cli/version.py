"""rbuild version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder import __version__

if TYPE_CHECKING:
    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors


def run(arguments: Arguments, console: Console, doors: Doors) -> int:
    console.out(f"rbuild {__version__}\n")
    return 0
