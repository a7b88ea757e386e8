"""The Authorization header of a request: basic, or a token of the server that the registry names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.net.client import Answer, Client
    from builder.registry.endpoint import Endpoint
    from builder.registry.keys import Keychain


class Authorizer:
    """Remembers, for a command or a build, what each registry wanted to see. May be used from any thread."""

    def __init__(self, client: Client, keychain: Keychain) -> None:
        self._client = client
        self._keychain = keychain

    def header(self, endpoint: Endpoint, actions: str, also: Sequence[str] = ()) -> str | None:
        """What is known to be wanted for `actions` ("pull" or "pull,push") on the repository, and "pull" on `also`.

        None where nothing is known yet: then ask without, and hand a 401 to `challenged`. A token that has come to
        its end is changed for a new one, which may raise AuthError or NetworkError.
        """
        return None

    def challenged(
        self, endpoint: Endpoint, actions: str, answer: Answer, also: Sequence[str] = (), sent: str | None = None
    ) -> str:
        """The header to try again with, once, after the 401 `answer` to a request that carried `sent`.

        Raises AuthError where nothing that we have can help, NetworkError where the token server does not answer.
        """
        raise NotImplementedError
