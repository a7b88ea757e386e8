"""Which secret goes to which server (dockerfile-language 1.9). A secret that no server asks for is never read.

HTTP_AUTH_TOKEN_<host>, HTTP_AUTH_HEADER_<host>                     for a file
GIT_AUTH_TOKEN[.<host>], GIT_AUTH_HEADER[.<host>]                   for a repository
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from builder.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LARGEST = 500 << 10


class Credentials:
    """`secret` gives the value of a secret by its id, or None; `agent` is the socket of --ssh default, or ""."""

    def __init__(self, secret: Callable[[str], str | None] = lambda _: None, agent: str = "") -> None:
        self._secret = secret
        self.agent = agent

    def for_file(self, host: str) -> str | None:
        """The Authorization header for a download from `host`."""
        if token := self._secret(f"HTTP_AUTH_TOKEN_{host}"):
            return f"Bearer {token}"
        return self._secret(f"HTTP_AUTH_HEADER_{host}")

    def for_repository(self, host: str) -> str | None:
        """The Authorization header for git over http; a secret of this very host comes before one for all."""
        for suffix in (f".{host}", ""):
            if token := self._secret(f"GIT_AUTH_TOKEN{suffix}"):
                return "Basic " + b64encode(f"x-access-token:{token}".encode()).decode()
            if header := self._secret(f"GIT_AUTH_HEADER{suffix}"):
                return header
        return None


def secret_reader(secrets: Sequence[tuple[str, str, str]], environ: Mapping[str, str]) -> Callable[[str], str | None]:
    """A function from the id of a --secret to its text, without white space around it.

    `secrets` are (id, kind, value) as a request has them: kind file or env, "" the one that is there.
    """
    known = {name: (kind, value) for name, kind, value in secrets}

    def read(name: str) -> str | None:
        if name not in known:
            return None
        kind, value = known[name]
        if kind == "env" or (not kind and value in environ):
            text = environ.get(value)
        else:
            text = _file(name, value)
        if text is not None and (bad := set("\r\n\0") & set(text.strip())):
            raise BuildError(f"secret {name} cannot be sent: it holds {sorted(bad)[0]!r}", hint="it has to be one line")
        return text.strip() if text else None

    return read


def _file(name: str, path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise BuildError(f"secret {name}: cannot read {path}: {error.strerror}") from error
    if len(content) > _LARGEST:
        raise BuildError(f"secret {name}: {path} is larger than 500 KiB")
    return content.decode("utf-8", "surrogateescape")
