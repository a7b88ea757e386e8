"""Where the Dockerfile and the ignore file of a build are, and what is in them."""

from __future__ import annotations

import os

from builder.dockerfile.ignore import Ignore, parse_ignore
from builder.errors import BuildError, NotFound
from builder.values import NamedTuple

STDIN = "<stdin>"  # how a Dockerfile on standard input is called
_DEFAULT = "Dockerfile"


class Definition(NamedTuple):
    """`file` is the path as it is shown to the user."""

    file: str
    content: bytes


def read_dockerfile(context: str, path: str | None) -> Definition:
    """`-f`, else Dockerfile in the context, else dockerfile. Raises NotFound or BuildError."""
    candidates = [path] if path else [os.path.join(context, name) for name in (_DEFAULT, _DEFAULT.lower())]
    for candidate in candidates:
        try:
            with open(candidate, "rb") as file:
                return Definition(os.path.normpath(candidate), file.read())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BuildError(f"cannot read {candidate}: {error.strerror}") from error
    if not os.path.isdir(context):
        raise NotFound(f"build context {context!r} is not a directory", hint="rbuild [OPTIONS] CONTEXT")
    raise NotFound(f"there is no {candidates[0]}", hint="name the Dockerfile with -f")


def read_ignore(directory: str, dockerfile: str | None = None) -> Ignore:
    """The patterns beside the Dockerfile (`NAME.dockerignore`) if there are any, else those in the context's root."""
    own = [f"{dockerfile}.dockerignore"] if dockerfile else []
    for path in (*own, os.path.join(directory, ".dockerignore")):
        try:
            with open(path, "rb") as file:
                text = file.read().decode("utf-8-sig", "surrogateescape")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise BuildError(f"cannot read {path}: {error.strerror}") from error
        return parse_ignore(text, os.path.normpath(path))
    return Ignore(())
