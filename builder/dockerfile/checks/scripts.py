"""Whether a heredoc of RUN is a shell script that goes on after a command that failed."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.dockerfile.instructions import Run

_SHELLS = frozenset({"sh", "ash", "bash", "dash", "ksh", "mksh", "zsh"})
_SET = re.compile(r"set\s+(?:[-\w]+\s+)*-(?:\w*e|o\s+errexit\b)")
_CONTINUED = ("\\", "&&", "||", "|")


def goes_on_after_failure(item: Run, shell: Sequence[str]) -> bool:
    """`shell` is that of the stage. A script of one command, and one that says `set -e` first, is fine."""
    if item.exec_form or not item.heredocs:
        return False
    if item.lone_heredoc:
        script = item.heredocs[0].content
        reader = script.split("\n", 1)[0][2:].split() if script.startswith("#!") else list(shell)
        return _is_careless(reader) and _has_unguarded_commands(script)
    words = item.argv[0].split()
    reader = words[: next((number for number, word in enumerate(words) if "<<" in word), len(words))]
    return _is_careless(reader) and _has_unguarded_commands(item.heredocs[0].content)


def _is_careless(argv: Sequence[str]) -> bool:
    """Whether it is a shell that was not told -e."""
    words = list(argv)
    if words and posixpath.basename(words[0]) == "env":
        words = [word for word in words[1:] if not word.startswith("-")]
    if not words or posixpath.basename(words[0]) not in _SHELLS:
        return False
    told = any(word.startswith("-") and word[1:2] != "-" and "e" in word for word in words[1:])
    return not told and "errexit" not in words


def _has_unguarded_commands(script: str) -> bool:
    """More than one command before anything turns errexit on; lines that are continued count once."""
    commands, continued = 0, False
    for line in script.split("\n"):
        text = line.strip()
        if not text or (text.startswith("#") and not continued):
            continue
        if not continued:
            if _SET.match(text):
                return commands > 0
            commands += 1
        continued = text.endswith(_CONTINUED)
    return commands > 1
