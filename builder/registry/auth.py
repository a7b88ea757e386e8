"""The Authorization header of a request: basic, or a token of the server that the registry names."""

from __future__ import annotations

import time
from _thread import allocate_lock
from contextlib import contextmanager
from typing import TYPE_CHECKING

from builder.errors import AuthError, BuildError
from builder.net.address import basic, origin_of
from builder.registry.challenge import challenges
from builder.registry.realms import check_realm, trust
from builder.registry.tokens import Wanted, advice, described, fetch, login_name, told
from builder.values import NamedTuple

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Iterable, Iterator, Sequence

    from builder.net.client import Answer, Client
    from builder.registry.challenge import Challenge
    from builder.registry.endpoint import Endpoint
    from builder.registry.keys import Keychain
    from builder.registry.login import Login

_FOREVER = float("inf")
_SHORTEST = 4  # characters of a secret: less would be found in any text
_Key = tuple[str, str, tuple[str, ...]]


class _Known(NamedTuple):
    """`wanted` is how to get the header anew, None where it does not end."""

    header: str
    until: float = _FOREVER
    wanted: Wanted | None = None


class _Asked(NamedTuple):
    """A 401: by whom and for what, to a request that carried `sent`, and who we are there."""

    endpoint: Endpoint
    answer: Answer
    sent: str | None
    step: str
    login: Login | None

    @property
    def host(self) -> str:
        return login_name(self.endpoint.host)

    def error(self, why: str, hint: str) -> AuthError:
        parts = (str(origin_of(self.endpoint.base)), self.step, "401 Unauthorized", why)
        return AuthError(": ".join(part for part in parts if part), hint=hint)


class Authorizer:
    """Remembers, for a command or a build, what each registry wanted to see. May be used from any thread."""

    def __init__(self, client: Client, keychain: Keychain) -> None:
        self._client = client
        self._keychain = keychain
        self._known: dict[_Key, _Known] = {}
        self._guard = allocate_lock()
        self._turns: dict[_Key, LockType] = {}

    def header(self, endpoint: Endpoint, actions: str, also: Sequence[str] = ()) -> str | None:
        """What is known to be wanted for `actions` ("pull" or "pull,push") on the repository, and "pull" on `also`.

        None where nothing is known yet: then ask without, and hand a 401 to `challenged`. A token that has come to
        its end is changed for a new one, which may raise AuthError or NetworkError.
        """
        key = _key(endpoint, actions, also)
        known = self._known.get(key)
        if known is None or time.monotonic() < known.until:
            return known.header if known else None
        with self._turn(key):
            known = self._known.get(key, known)
            if time.monotonic() >= known.until and known.wanted:
                known = self._known[key] = self._token(endpoint, known.wanted, self._login(endpoint))
        return known.header

    def challenged(
        self,
        endpoint: Endpoint,
        actions: str,
        answer: Answer,
        also: Sequence[str] = (),
        sent: str | None = None,
        step: str = "",
    ) -> str:
        """The header to try again with, once, after the 401 `answer` to a request that carried `sent`.

        `step` is what was asked, for messages. Raises AuthError where nothing that we have can help, NetworkError
        where the token server does not answer.
        """
        _check_origin(endpoint, answer.url)
        key = _key(endpoint, actions, also)
        with self._turn(key):
            known = self._known.get(key)
            if known and known.header != sent and time.monotonic() < known.until:
                return known.header  # another thread has been here while we were told
            self._known.pop(key, None)
            asked = _Asked(endpoint, answer, sent, step, self._login(endpoint))
            found = self._known[key] = self._answer(asked, _scopes(endpoint, actions, also), known)
            return found.header

    def refused(
        self,
        endpoint: Endpoint,
        actions: str,
        answer: Answer,
        also: Sequence[str] = (),
        sent: str | None = None,
        step: str = "",
    ) -> BuildError:
        """The error for a 401 to a request that carried what `challenged` gave."""
        self._known.pop(_key(endpoint, actions, also), None)
        asked = _Asked(endpoint, answer, sent, step, self._login(endpoint))
        token = (sent or "").startswith("Bearer ")
        return no_right(asked, _scopes(endpoint, actions, also)) if token else unwelcome(asked)

    def hidden(self, text: str) -> str:
        """`text` without what was sent: servers and proxies repeat it in their errors, and those are kept in logs."""
        for secret in {secret for known in tuple(self._known.values()) for secret in _secrets(known.header)}:
            text = text.replace(secret, "****")
        return text

    def _answer(self, asked: _Asked, scopes: tuple[str, ...], known: _Known | None) -> _Known:
        """To the challenges, the best first."""
        offered = challenges(asked.answer.headers.get("www-authenticate", ""))
        bearer = next((each for each in offered if each.scheme == "bearer" and each.parameters.get("realm")), None)
        if asked.login and asked.login.registry_token and bearer:
            return _unless_sent(asked, f"Bearer {asked.login.registry_token}")
        if bearer:
            said = bearer.parameters
            scopes = merged((*scopes, *said.get("scope", "").split()))
            wanted = Wanted(asked.answer.url, said["realm"], said.get("service", ""), scopes)
            # A token for just this that is not enough will not be enough the next time.
            enough = known and known.wanted and known.header == asked.sent and set(scopes) <= set(known.wanted.scopes)
            if enough and said.get("error") == "insufficient_scope":
                raise no_right(asked, scopes)
            return self._token(asked.endpoint, wanted, asked.login)
        if any(each.scheme == "basic" for each in offered):
            return _basic(asked)
        raise _unknown(asked, offered)

    def _token(self, endpoint: Endpoint, wanted: Wanted, login: Login | None) -> _Known:
        options = self._keychain.options
        check_realm(wanted.server, wanted.realm, options)
        token = fetch(self._client, wanted, login, trust(endpoint, wanted.realm, options, self._keychain.environ))
        return _Known(f"Bearer {token.text}", token.until, wanted)

    def _login(self, endpoint: Endpoint) -> Login | None:
        return self._keychain.find(endpoint.host, endpoint.repository, mirror=endpoint.mirror)

    @contextmanager
    def _turn(self, key: _Key) -> Iterator[None]:
        """One at a time for one scope: of many layers that are refused at once, one gets the token for all."""
        with self._guard:
            turn = self._turns.setdefault(key, allocate_lock())
        with turn:
            yield


def _secrets(header: str) -> list[str]:
    """The parts of an Authorization header that nobody may see; words too short to be one are left."""
    from base64 import b64decode

    scheme, _, word = header.partition(" ")
    found = [word, b64decode(word).decode().partition(":")[2]] if scheme == "Basic" else [word]
    return [each for each in found if len(each) >= _SHORTEST]


def _key(endpoint: Endpoint, actions: str, also: Sequence[str]) -> _Key:
    return endpoint.base, f"{endpoint.repository}:{actions}", tuple(sorted(also))


def _scopes(endpoint: Endpoint, actions: str, also: Iterable[str]) -> tuple[str, ...]:
    own = [f"repository:{endpoint.repository}:{actions}"] if endpoint.repository else []
    return (*own, *(f"repository:{other}:pull" for other in also))


def merged(scopes: Iterable[str]) -> tuple[str, ...]:
    """Each resource once, with all that is to be done to it."""
    found: dict[str, set[str]] = {}
    for scope in scopes:
        resource, _, actions = scope.rpartition(":")
        found.setdefault(resource, set()).update(actions.split(","))
    return tuple(f"{resource}:{','.join(sorted(actions))}" for resource, actions in found.items())


def _check_origin(endpoint: Endpoint, url: str) -> None:
    """A redirect may have led to another host: what that one wants is none of ours to give."""
    asked, named = origin_of(url), origin_of(endpoint.base)
    if asked != named:
        raise AuthError(
            f"{named}: redirects to {asked}, which wants credentials: those of {named} do not go there",
            hint="the storage behind the registry has to let in whom the registry sends",
        )


def _basic(asked: _Asked) -> _Known:
    if not (asked.login and asked.login.username):
        raise asked.error("it wants a user and a password", f"rbuild login {asked.host}")
    return _unless_sent(asked, basic(asked.login.username, asked.login.password))


def _unless_sent(asked: _Asked, header: str) -> _Known:
    if header == asked.sent:
        raise unwelcome(asked)
    return _Known(header)


def unwelcome(asked: _Asked) -> BuildError:
    """The user is not known, or has another password."""
    if not asked.login:
        return asked.error("it wants credentials", f"rbuild login {asked.host}")
    return asked.error(f"{described(asked.login)} is refused", advice(asked.login, asked.host))


def no_right(asked: _Asked, scopes: Sequence[str]) -> BuildError:
    """The user is known, or nobody, and may not do this. Registries say so of what does not exist, too."""
    what = ", ".join(map(told, scopes)) or "this"
    if not asked.login:
        hint = f"check the name; if it is private: rbuild login {asked.host}"
        return asked.error(f"without a login there is no right to {what}", hint)
    return asked.error(
        f"{described(asked.login)} has no right to {what}",
        f"check the name, ask its owner for the right, or log in as another: rbuild login {asked.host}",
    )


def _unknown(asked: _Asked, offered: Sequence[Challenge]) -> BuildError:
    names = ", ".join(each.scheme.capitalize() for each in offered)
    what = f"wants {names}, which is not supported" if names else "does not say what it wants"
    return asked.error(f"it {what}", "registries ask for Basic or Bearer: is this one, or a proxy in front of it?")
