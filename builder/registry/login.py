"""What a user shows to a registry."""

from __future__ import annotations

from builder.values import NamedTuple


class Login(NamedTuple):
    """A user and a password; or an identity token, which a token server changes for others; or a registry's token.

    `where` is the file or program that it is from.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""
    where: str = ""

    def __repr__(self) -> str:
        """Without the secrets: a traceback or a failed test may print it."""
        return f"Login({self.username!r}, …, {self.where!r})"
