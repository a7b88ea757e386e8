"""What git says, as an error that says what to do."""

from __future__ import annotations

import pytest

from builder.errors import AuthError, BuildError, NetworkError
from builder.sources.git import _git_errors
from builder.sources.git_command import GitFailed

URL = "https://127.0.0.1:33403/r.git"


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        (f"fatal: unable to access '{URL}/': The requested URL returned error: 403", AuthError, "GIT_AUTH_TOKEN"),
        (f"fatal: unable to access '{URL}/': The requested URL returned error: 401", AuthError, "GIT_AUTH_TOKEN"),
        ("error: RPC failed; HTTP 403 curl 22", AuthError, "GIT_AUTH_TOKEN"),
        (f"fatal: Authentication failed for '{URL}/'", AuthError, "GIT_AUTH_TOKEN"),
        (f"fatal: unable to access '{URL}/': The requested URL returned error: 503", NetworkError, "the network"),
        (f"fatal: unable to access '{URL}/': Failed to connect to 127.0.0.1 port 33403", NetworkError, "the network"),
        (f"fatal: unable to access '{URL}/': server certificate verification failed", NetworkError, "SSL_CERT_FILE"),
    ],
)
def test_the_kind_does_not_depend_on_the_address(said: str, kind: type[BuildError], hint: str) -> None:
    """A port may have a 403 in it."""
    with pytest.raises(kind) as caught, _git_errors(URL, "read"):
        raise GitFailed(said)
    assert hint in (caught.value.hint or "")
    assert caught.value.message.startswith(f"cannot read {URL}: ")
