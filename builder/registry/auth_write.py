"""Changes of a file of credentials: at once, alone, and with everything kept that is not ours."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from builder.errors import AuthError
from builder.registry.auth_file import OURS, AuthFile, read
from builder.registry.prefixes import normal, spelled
from builder.store.files import create, rename_durably, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.registry.login import Login


def changed(path: str, change: Callable[[AuthFile], dict[str, object]]) -> None:
    """Replace the file at once by what `change` makes of it, readable by its owner alone."""
    target = os.path.realpath(path)  # a link, as people who keep their settings elsewhere have, stays one
    folder = os.path.dirname(target)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with _alone(folder):
            document = change(read(path) or AuthFile(path, {}))
            _replace(target, document)
    except OSError as error:
        raise AuthError(
            f"{path}: cannot be written: {error.strerror}", hint="name another file with --authfile"
        ) from error


def with_entry(file: AuthFile, prefix: str, login: Login | None) -> dict[str, object]:
    """The document with one entry for `prefix`, an empty one for what a helper keeps, in place of all spellings."""
    document = without_entry(file, prefix)
    old = [entry for key, entry in file.entries() if normal(key) == prefix and isinstance(entry, dict)]
    kept = {name: value for entry in old for name, value in entry.items() if name not in OURS}
    auths = document["auths"]
    assert isinstance(auths, dict)
    return {**document, "auths": {**auths, spelled(prefix): {**kept, **(_entry(login) if login else {})}}}


def without_entry(file: AuthFile, prefix: str) -> dict[str, object]:
    left = {key: entry for key, entry in file.entries() if normal(key) != prefix}
    return {**file.document, "auths": left}


def _entry(login: Login) -> dict[str, object]:
    from base64 import b64encode

    auth = b64encode(f"{login.username}:{login.password}".encode()).decode()
    members = {"auth": auth if login.username or login.password else ""}
    members |= {"identitytoken": login.identity_token, "registrytoken": login.registry_token}
    return {name: value for name, value in members.items() if value}


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Of two logins at once, the second is to see what the first has written. A folder can be locked as a file can."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(target: str, document: dict[str, object]) -> None:
    import json

    content = json.dumps(document, indent="\t", ensure_ascii=False).encode() + b"\n"
    fresh = f"{target}.{os.urandom(6).hex()}"
    descriptor = create(fresh, 0o600)
    try:
        try:
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        rename_durably(fresh, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise
