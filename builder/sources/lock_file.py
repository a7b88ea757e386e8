"""Which lock file goes with a Dockerfile, and what is in it.

dir/Dockerfile      dir/rbuild.lock
dir/App.Dockerfile  dir/App.Dockerfile.lock
--lock FILE         FILE, wherever the Dockerfile is
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder import _native
from builder.errors import BuildError, LockError, NotFound
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.sources.lock import Lock

USUAL = "rbuild.lock"
_LARGEST = 16 << 20


class LockFile(NamedTuple):
    """`file` is the path as it is shown to the user, `content` what was read."""

    file: str
    lock: Lock
    content: bytes = b""


def beside(dockerfile: str) -> str:
    """The lock file that goes with a Dockerfile of this path."""
    directory, name = os.path.split(dockerfile)
    return os.path.join(directory, USUAL if name.lower() == "dockerfile" else f"{name}.lock")


def path_for(context: str, dockerfile: str | None, given: str | None = None) -> str | None:
    """The path on this machine; None where the Dockerfile has no place on it. `given` "" means no lock at all."""
    if given is not None:
        return given or None
    if dockerfile is None:
        return os.path.join(context, USUAL) if os.path.isdir(context) else None
    if dockerfile == "-" or dockerfile.startswith(("http://", "https://")):
        return None
    return beside(dockerfile) if os.path.isdir(context) or os.path.isabs(dockerfile) else None


def read_lock(path: str) -> LockFile | None:
    """None when there is no such file. Raises LockError for one that is wrong or cannot be read."""
    try:
        with open(path, "rb") as file:
            return _parsed(file.read(_LARGEST), os.path.normpath(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LockError(f"cannot read {path}: {error.strerror}") from error


def read_given(path: str) -> LockFile:
    """The file that --lock names has to be there."""
    found = read_lock(path)
    if found is None:
        raise NotFound(f"--lock {path}: there is no such file", hint=f"rbuild lock --lock {path} writes it")
    return found


def read_inside(root: str, dockerfile: str) -> LockFile | None:
    """The lock file beside the Dockerfile of a context that came from elsewhere: links lead nowhere outside."""
    name = beside(dockerfile)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        opened = _native.open_in_root(descriptor, os.fsencode(name), os.O_RDONLY | os.O_NONBLOCK)
        with open(opened, "rb") as file:
            return _parsed(file.read(_LARGEST), name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LockError(f"cannot read {name} of the build context: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _parsed(content: bytes, file: str) -> LockFile:
    from builder.sources.lock import parse_lock

    try:
        return LockFile(file, parse_lock(content.decode("utf-8"), file), content)
    except UnicodeDecodeError as error:
        raise LockError(f"{file}: is not UTF-8") from error
    except BuildError as error:
        error.source = content
        raise
