"""Why a step's program could not be executed, by looking at the file itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.sandbox import elf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.snapshots.view import View

NOT_EXECUTABLE, NOT_FOUND = 126, 127
_LINE = 4096


def hint_for_program(paths: Sequence[str], status: int, tail: Sequence[str], view: View) -> str | None:
    """What to change; None when the program was executed. `paths` is where argv[0] may be."""
    if status not in (NOT_EXECUTABLE, NOT_FOUND) or len(tail) != 1:
        return None
    for path in paths:
        start = view.read(path.lstrip("/"), _LINE)
        if start is not None:
            return _of_file(path, start, tail[0])
    return None


def _of_file(path: str, start: bytes, told: str) -> str | None:
    if told.endswith(os.strerror(8)):
        return _of_format(path, start)
    if told.endswith(os.strerror(13)):
        return f"{path} is not executable for this user: chmod +x it in an earlier step, or COPY --chmod=755"
    if told.endswith(os.strerror(7)):
        return "the command and its environment are larger than the kernel takes: put them into a file"
    if start.startswith(b"#!") and told.endswith(os.strerror(2)):
        words = os.fsdecode(start[2:].partition(b"\n")[0]).split()
        return f"{path} wants the interpreter {words[0] if words else '(none)'}, which the image does not have"
    return None


def _of_format(path: str, start: bytes) -> str:
    built_for = elf.architecture(start)
    if built_for is None:
        return f"{path} is neither a program nor a script: begin a script with #!/bin/sh"
    return (
        f"{path} is a program for {built_for} and this machine is {os.uname().machine}: use an image of this platform, "
        "or name the platform (FROM --platform=) and install qemu-user-static"
    )
