"""Who we are to a registry: credentials by host and repository, from the files and programs where users keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.registry.options import RegistryOptions


class Login(NamedTuple):
    """A user and a password; or an identity token, which a token server changes for others; or a registry's token."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""


class Keychain:
    """Of one command or build; may be used from any thread."""

    def __init__(self, options: RegistryOptions, environ: Mapping[str, str]) -> None:
        self.options = options
        self._environ = environ

    def find(self, host: str, repository: str = "", *, mirror: bool = False) -> Login | None:
        """The login of the longest prefix of host/repository that has one. AuthError for a file that is broken."""
        return Login(*self.options.creds) if self.options.creds and not mirror else None

    def save(self, prefix: str, login: Login) -> str:
        """Keep `login` for a host, or a prefix of repositories; where it was kept."""
        raise NotImplementedError

    def erase(self, prefix: str) -> str:
        """Forget it; where it was, or ""."""
        raise NotImplementedError
