"""docs/options.md says what the table of the command line says. RBUILD_UPDATE_GOLDEN=1 writes it."""

from __future__ import annotations

import os
from pathlib import Path

from builder.cli.commands import COMMANDS
from builder.cli.options import HELP, Option
from builder.cli.refusals import hint

DOCUMENT = Path(__file__).parents[3] / "docs/options.md"
HEAD = """\
# Options

Every option of every command. An option of `docker buildx build`, `buildah build` or `podman build` that is not
here is refused by name, with what to do instead: nothing is ignored.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _row(option: Option) -> str:
    value = "\\|".join(option.choices) or _cell(option.metavar)
    names = ", ".join(f"`{name}`" for name in option.names)
    return f"| {names} | {value} | {_cell(option.help)} |\n"


def _text() -> str:
    text = HEAD
    for command in COMMANDS:
        shown = [option for option in command.options if option.supported and option is not HELP]
        text += f"\n## rbuild {command.name} {command.operands}".rstrip() + f"\n\n{command.summary}\n"
        if shown:
            text += "\n| Option | Value | Meaning |\n|---|---|---|\n" + "".join(map(_row, shown))
    refused = sorted(option.name for option in COMMANDS[0].options if not option.supported)
    text += "\n## Refused\n\n| Option | Instead |\n|---|---|\n"
    return text + "".join(f"| `--{name}` | {_cell(hint(name) or '')} |\n" for name in refused)


def test_the_document_is_that_of_the_table() -> None:
    text = _text()
    if os.environ.get("RBUILD_UPDATE_GOLDEN"):
        DOCUMENT.write_text(text)

    assert DOCUMENT.read_text() == text
