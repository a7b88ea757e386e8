"""What can go wrong, as one small tree.

    BuildError                    exit status 1
    ├── UsageError                2   the command line or request is wrong
    ├── DockerfileError           1   the Dockerfile (or ignore file) is wrong; has a Span
    ├── NotSupported              1   valid, but not implemented here; has a Span when from a file
    ├── NotFound                  1   an image, file, stage or tag that is not there
    ├── StepFailed                1   a RUN exited non-zero
    ├── SandboxError              1   the host refuses the isolation that a step needs
    ├── ArchiveError              1   a tar or image archive is damaged or hostile; names the entry
    ├── DocumentError             1   a manifest, config, index or digest is not valid
    ├── LockError                 1   a lock file is wrong, or what it locks is not what is found
    ├── StoreError                1   the store is unusable
    ├── ExportError               1   an output could not be written
    ├── AuthError                 3   a server wants credentials that it was not given, or other ones
    ├── NetworkError              4   a server cannot be reached, or does not give what was asked for
    │   └── OfflineError          4   what is needed is not on this machine, and --offline forbids to fetch it
    ├── RegistryError             5   a registry was reached and refuses what was asked
    └── Cancelled               130   the user or a failing sibling stopped it

Every error says what happened; `hint` says what the user can do about it; `span` points into a
file. Only the command line prints them.
"""

from __future__ import annotations

import os

from builder.values import NamedTuple


class Span(NamedTuple):
    """Lines of a file: 1-based, inclusive. Column is 1-based, 0 when the whole line is meant."""

    file: str
    first: int
    last: int
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.first}" + (f":{self.column}" if self.column else "")


class BuildError(Exception):
    """`source` is the text that `span` is a place in, for files that cannot be read again."""

    exit_status = 1
    source: bytes | None = None

    def __init__(self, message: str, *, hint: str | None = None, span: Span | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.span = span

    def __str__(self) -> str:
        return f"{self.span}: {self.message}" if self.span else self.message


class UsageError(BuildError):
    exit_status = 2


class DockerfileError(BuildError):
    pass


class NotSupported(BuildError):
    pass


class NotFound(BuildError):
    pass


class StepFailed(BuildError):
    """A RUN that did not exit with 0. `tail` is the end of its output, `exit_code` as a shell reports it."""

    def __init__(
        self,
        message: str,
        *,
        step: str,
        stage: str,
        exit_code: int,
        tail: tuple[str, ...],
        hint: str | None = None,
        span: Span | None = None,
    ) -> None:
        super().__init__(message, hint=hint, span=span)
        self.step = step
        self.stage = stage
        self.exit_code = exit_code
        self.tail = tail


class SandboxError(BuildError):
    pass


class ArchiveError(BuildError):
    pass


class DocumentError(BuildError):
    pass


class LockError(BuildError):
    pass


class StoreError(BuildError):
    pass


class ExportError(BuildError):
    pass


class AuthError(BuildError):
    exit_status = 3


class NetworkError(BuildError):
    exit_status = 4


class OfflineError(NetworkError):
    """`wanted` names what would have been fetched: an image with its platform, or an address."""

    def __init__(self, message: str, *, wanted: str, hint: str | None = None, span: Span | None = None) -> None:
        super().__init__(message, hint=hint, span=span)
        self.wanted = wanted


class RegistryError(BuildError):
    exit_status = 5


class Cancelled(BuildError):
    exit_status = 130


_REMEDIES = {
    "ENOSPC": "the disk is full: free some space",
    "EDQUOT": "your disk quota is used up: free some space",
    "EFBIG": "the file is larger than the file system, or the limit on file sizes (ulimit -f), allows",
    "EMFILE": "raise the limit of open files (ulimit -n)",
    "ENFILE": "the machine has too many open files",
    "EAGAIN": "raise the limit of processes (ulimit -u), or lower --jobs",
    "ENOMEM": "free some memory, raise its limit (ulimit -v), or lower --jobs",
    "ENAMETOOLONG": "choose a shorter path",
    "EIO": "the disk is failing",
}


def remedy(error: OSError) -> str | None:
    """What helps wherever the machine, and nothing about the request, is the reason; else None."""
    from errno import errorcode

    return _REMEDIES.get(errorcode.get(error.errno or 0, ""))


def of_system(error: OSError, span: Span | None = None) -> BuildError:
    """A refusal of the operating system that no room has put into better words."""
    paths = [os.fsdecode(path) for path in (error.filename, error.filename2) if isinstance(path, str | bytes)]
    reason = error.strerror or str(error) or type(error).__name__
    return BuildError(": ".join([" -> ".join(paths), reason] if paths else [reason]), hint=remedy(error), span=span)
