"""--iidfile and --metadata-file: what a build made, for scripts, under buildx's names."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from builder.errors import ExportError, UsageError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.cli.argv import Arguments
    from builder.request import BuildResult


class Files(NamedTuple):
    iid: str | None
    metadata: str | None


def files_of(arguments: Arguments) -> Files:
    """Raises UsageError when one of them could not be written at the end."""
    for name in ("iidfile", "metadata-file"):
        path = arguments.one(name)
        if path and not os.path.isdir(os.path.dirname(path) or "."):
            raise UsageError(f"--{name} {path}: there is no such directory")
        if path and os.path.isdir(path):
            raise UsageError(f"--{name} {path}: is a directory")
    return Files(arguments.one("iidfile"), arguments.one("metadata-file"))


def forget(files: Files) -> None:
    """Removes what an earlier build left: a failed build must not seem to have made it."""
    for path in files:
        # Only a regular file: /dev/stdout and pipes are good targets too.
        if path and os.path.lexists(path) and stat.S_ISREG(os.lstat(path).st_mode):
            os.unlink(path)


def write(files: Files, result: BuildResult, names: Sequence[str]) -> None:
    if files.iid:
        _write(files.iid, result.config_digest or result.digest)
    if files.metadata:
        import json

        _write(files.metadata, json.dumps(metadata(result, names), indent=2) + "\n")


def metadata(result: BuildResult, names: Sequence[str]) -> dict[str, object]:
    """An index has no config digest: the key is absent then, as buildx leaves it out."""
    config = {"containerimage.config.digest": result.config_digest} if result.config_digest else {}
    found: dict[str, object] = {
        **config,
        "containerimage.descriptor": result.descriptor.as_json(),
        "containerimage.digest": result.digest,
    }
    if names:
        found["image.name"] = ",".join(names)
    return found


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror}") from error
