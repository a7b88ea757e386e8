"""One file of credentials: docker's config.json and containers' auth.json, which have the same form.

{"auths": {"quay.io": {"auth": "<base64 of USER:PASSWORD>", "identitytoken": "…"}},
 "credHelpers": {"gcr.io": "gcloud"}, "credsStore": "secretservice"}

Its errors name the file and the member that is wrong, and never what is in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.errors import AuthError, DocumentError
from builder.oci.json import decode
from builder.registry.login import Login
from builder.registry.prefixes import normal

if TYPE_CHECKING:
    from collections.abc import ItemsView

_LARGEST = 4 << 20
_VISIBLE = re.compile(r"[\x21-\x7e]+", re.ASCII)
OURS = ("auth", "username", "password", "identitytoken", "registrytoken")


class AuthFile:
    """What was read from `path`; an absent file is an empty one."""

    def __init__(self, path: str, document: dict[str, object]) -> None:
        self.path = path
        self.document = document
        self._auths = self._object("auths")
        self._helpers = self._object("credHelpers")
        self._store = self._word(document, "credsStore")

    def entries(self) -> ItemsView[str, object]:
        return self._auths.items()

    def prefixes(self) -> list[str]:
        """For what it has entries, empty ones included, which stand for what a helper keeps."""
        return list(dict.fromkeys(normal(key) for key in self._auths))

    def helper(self, prefix: str, *, new: bool = False) -> str:
        """The name of the credential helper that has, or for a `new` login would have, those of a prefix, or "".

        The common one has those of whole hosts, and of longer prefixes where an entry says so.
        """
        for key in self._helpers:
            if normal(key) == prefix:
                return self._word(self._helpers, key)
        return self._store if new or "/" not in prefix or prefix in self.prefixes() else ""

    def login(self, prefix: str) -> Login | None:
        """Of an entry of this very prefix that says something."""
        found = (self._login(key) for key in self._auths if normal(key) == prefix)
        return next((login for login in found if login), None)

    def _login(self, key: str) -> Login | None:
        entry = self._auths[key]
        if entry is None:
            return None
        if not isinstance(entry, dict):
            raise self._fault(f"auths: {key} is not an object")
        auth, user, password, identity, token = (self._word(entry, name, f"auths: {key}: ") for name in OURS)
        if auth:
            user, password = self._decoded(auth, key)
        if token and not _VISIBLE.fullmatch(token):  # it is put into a header as it is
            raise self._fault(f"auths: {key}: registrytoken is not one word")
        said = user or password or identity or token
        return Login(user, password, identity, token, self.path) if said else None

    def _decoded(self, auth: str, key: str) -> tuple[str, str]:
        from base64 import b64decode

        try:
            text = b64decode(auth, validate=True).decode()
        except ValueError:
            raise self._fault(f"auths: {key}: auth is not the base64 of a text") from None
        user, colon, password = text.partition(":")
        if not colon:
            raise self._fault(f"auths: {key}: auth holds no USER:PASSWORD")
        return user, password.rstrip("\0")  # docker pads with them

    def _object(self, name: str) -> dict[str, object]:
        value = self.document.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._fault(f"{name} is not an object")
        return value

    def _word(self, members: dict[str, object], name: str, where: str = "") -> str:
        value = members.get(name)
        if value is not None and not isinstance(value, str):
            raise self._fault(f"{where}{name} is not a string")
        return value or ""

    def _fault(self, what: str) -> AuthError:
        return AuthError(f"{self.path}: {what}", hint="correct it, or name another file with --authfile")


def read(path: str) -> AuthFile | None:
    """None where there is no such file. AuthError for one that cannot be read or is broken."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AuthError(
            f"{path}: {error.strerror}", hint="make it readable, or name another with --authfile"
        ) from error
    if len(content) > _LARGEST:
        raise AuthError(f"{path}: too large for a file of credentials", hint="name another with --authfile")
    return parsed(path, content)


def parsed(path: str, content: bytes) -> AuthFile:
    """`path` is what errors call it."""
    try:
        return AuthFile(path, decode(content, path) if content.strip() else {})
    except DocumentError as error:
        raise AuthError(error.message, hint="correct it, or name another file with --authfile") from error
