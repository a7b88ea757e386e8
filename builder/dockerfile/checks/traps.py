"""The traps of --strict: what rarely means what its author thinks, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import DockerfileError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.dockerfile.checks.rules import Finding


class Trap(NamedTuple):
    description: str
    hint: str


TRAPS = {
    "ArgOverridesEnv": Trap(
        "An ARG after an ENV of the same name takes its place",
        "give the ARG another name, or leave it out",
    ),
    "CacheMountClash": Trap(
        "Cache mounts of one id with another seed, owner or mode are different caches",
        "give both the same from=, source=, uid=, gid= and mode=, or different ids",
    ),
    "ChmodOfMadeDirectories": Trap(
        "An octal --chmod is also the mode of the directories that are made on the way",
        "make the directory in an earlier instruction, or write the mode with symbols: --chmod=u=rw,go=r",
    ),
    "ExcludeOfNamedFile": Trap(
        "--exclude is not applied to a source that is itself a file",
        "leave the file out of the sources, or copy its directory",
    ),
    "HeredocWithoutErrexit": Trap(
        "A heredoc script goes on after a command that failed",
        "begin the script with set -e",
    ),
    "JsonLookalike": Trap(
        "What looks like JSON and is none is taken as a shell command or as plain words",
        'write valid JSON: double quotes, a comma between items and none after the last: ["a", "b"]',
    ),
    "OptionalSecretEnv": Trap(
        "The variable of an optional secret that the build was not given is empty, not unset",
        "add required to the mount, or give the secret with --secret",
    ),
    "SeveralFilesToOneName": Trap(
        "Of several files copied to a destination without a slash only the last one is left",
        "end the destination with /",
    ),
    "UnknownOwnerName": Trap(
        "A user or group that does not exist counts as root",
        "create the account in an earlier instruction, or use numeric ids",
    ),
    "WildcardMatchesNothing": Trap(
        "A wildcard that matches nothing copies nothing, without an error",
        "mend the pattern or the ignore file, or name the file",
    ),
    "WorkdirTwice": Trap(
        "Each WORKDIR makes a layer",
        "write the last path alone: its parents are made, too",
    ),
    "WriteToBindMount": Trap(
        "What a RUN writes to a bind mount is thrown away",
        "mount it read-only, or write to another directory",
    ),
}


def error(found: Sequence[Finding]) -> DockerfileError:
    """The end of a strict build, for the first of what was found."""
    first = found[0]
    others = "" if len(found) == 1 else f" (and {len(found) - 1} more: see the warnings)"
    hint = f"{TRAPS[first.rule].hint}; where it is meant, put # check=skip={first.rule} above the instruction"
    return DockerfileError(f"--strict: {first.detail} [{first.rule}]{others}", span=first.span, hint=hint)
