"""Who we are to a registry: credentials by host and repository, from the files and programs where users keep them.

The longest prefix of HOST/REPOSITORY that has some counts; for one prefix the order of the files does, and in a
file its credential helper comes before its entry, as with docker. `credential-helpers` of registries.conf may put
other helpers before, after or in place of the files.
"""

from __future__ import annotations

import os
from _thread import RLock
from typing import TYPE_CHECKING

from builder.errors import AuthError
from builder.registry.auth_file import AuthFile, parsed, read
from builder.registry.auth_places import places, usual_place
from builder.registry.login import Login
from builder.registry.prefixes import lookups, normal, spelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from builder.registry.credential_helper import Helper
    from builder.registry.options import RegistryOptions

__all__ = ["Keychain", "Login"]

_VARIABLE = "DOCKER_AUTH_CONFIG"  # what a file would hold, in jobs of CI: docker reads it before its files, too
_FILES = "containers-auth.json"  # what registries.conf calls the files
_IDENTITY = "<token>"  # the user name under which helpers keep identity tokens


class Keychain:
    """Of one command or build; may be used from any thread. Each file is read once, each helper asked once."""

    def __init__(self, options: RegistryOptions, environ: Mapping[str, str]) -> None:
        self.options = options
        self.environ = environ
        self._guard = RLock()
        self._read: list[AuthFile] | None = None
        self._asked: dict[tuple[str, str], Login | None] = {}
        self._helpers: tuple[str, ...] | None = None

    def find(self, host: str, repository: str = "", *, mirror: bool = False) -> Login | None:
        """The login for a repository of host[:port], or for the host alone; None where there is none.

        What --creds gives is for its host, or all that the command names: no mirror gets it. AuthError for a file or
        a helper that is broken, and for an --authfile that is not there.
        """
        if self.options.creds and not mirror and self._is_meant(host):
            return Login(*self.options.creds, where="--creds")
        with self._guard:
            found = (login for prefix in lookups(host, repository) for login in self._all(prefix))
            return next((login for login in found if login), None)

    def _is_meant(self, host: str) -> bool:
        named = self.options.creds_host
        return not named or normal(named) == normal(host)

    def save(self, prefix: str, login: Login) -> str:
        """Keep `login` for a host, or for the repositories below HOST/PATH; the file or program that has it now.

        A file that has credentials for this prefix gets the new ones, else docker's. AuthError if that fails.
        """
        from builder.registry.auth_write import changed, with_entry

        prefix = normal(prefix)
        with self._guard:
            helper, path = self._keeper(prefix)
            if helper:
                helper.store(spelled(prefix), *_words(login))
            if path:
                changed(path, lambda now: with_entry(now, prefix, None if helper else login))
            self._forget()
        return helper.program if helper else path

    def erase(self, prefix: str) -> tuple[str, ...]:
        """Forget what is kept for this very prefix, in every file; the files and programs that had it."""
        prefix, found = normal(prefix), list[str]()
        with self._guard:
            for name in self._order():
                if name != _FILES:
                    found += self._erased_by(self._program(name), prefix)
            for file in self._files(missing=True):
                found += self._erased_from(file, prefix)
            self._forget()
        return tuple(found)

    def _erased_by(self, helper: Helper, prefix: str) -> list[str]:
        if not self._ask(helper, prefix):
            return []
        helper.erase(spelled(prefix))
        return [helper.program]

    def _erased_from(self, file: AuthFile, prefix: str) -> list[str]:
        from builder.registry.auth_write import changed, without_entry

        helper = self._helper(file, prefix)
        found = self._erased_by(helper, prefix) if helper else []
        if prefix in file.prefixes():
            found += [file.path] if file.login(prefix) else []
            changed(file.path, lambda now: without_entry(now, prefix))
        return found

    def prefixes(self) -> tuple[str, ...]:
        """All that the files have entries for."""
        with self._guard:
            return tuple(dict.fromkeys(each for file in self._files(missing=True) for each in file.prefixes()))

    def _all(self, prefix: str) -> Iterator[Login | None]:
        """What there is for one prefix, in the order of its places. Programs know hosts."""
        if self.environ.get(_VARIABLE) and not self.options.authfile:
            yield self._in(parsed(f"${_VARIABLE}", os.fsencode(self.environ[_VARIABLE])), prefix)
        for name in self._order():
            if name == _FILES:
                yield from (self._in(file, prefix) for file in self._files())
            elif "/" not in prefix:
                yield self._ask(self._program(name), prefix)

    def _order(self) -> tuple[str, ...]:
        """Names of helpers and _FILES, in the order of registries.conf; a file that is named is the only place."""
        if self.options.authfile:
            return (_FILES,)
        if self._helpers is None:
            from builder.registry.conf_files import load_conf

            self._helpers = load_conf(self.options.conf, self.environ).helpers or (_FILES,)
        return self._helpers

    def _program(self, name: str) -> Helper:
        from builder.registry.credential_helper import Helper

        return Helper(name, "registries.conf", self.environ)

    def _keeper(self, prefix: str) -> tuple[Helper | None, str]:
        """The program that is to have a new login, and the file that is to have it or to know of it."""
        first = self._order()[0]
        if first != _FILES and "/" in prefix:
            raise AuthError(
                f"{prefix}: {first}, which registries.conf names, keeps credentials of whole registries alone",
                hint="--authfile names a file for them",
            )
        if first != _FILES:
            return self._program(first), ""
        path = next((file.path for file in self._files(missing=True) if prefix in file.prefixes()), self._usual())
        return self._helper(read(path) or AuthFile(path, {}), prefix, new=True), path

    def _in(self, file: AuthFile, prefix: str) -> Login | None:
        helper = self._helper(file, prefix)
        return (self._ask(helper, prefix) if helper else None) or file.login(prefix)

    def _helper(self, file: AuthFile, prefix: str, *, new: bool = False) -> Helper | None:
        name = file.helper(prefix, new=new)
        if not name:
            return None
        from builder.registry.credential_helper import Helper

        return Helper(name, file.path, self.environ)

    def _ask(self, helper: Helper, prefix: str) -> Login | None:
        key = (helper.program, prefix)
        if key not in self._asked:
            self._asked[key] = _login(helper.get(spelled(prefix)), helper.program)
        return self._asked[key]

    def _files(self, missing: bool = False) -> list[AuthFile]:
        """Those that are there. Unless it may be `missing`, the one of --authfile is."""
        if self._read is None:
            found = (read(path) for path in places(self.options, self.environ))
            self._read = [file for file in found if file]
        if not (self._read or missing) and self.options.authfile:
            raise AuthError(f"{self.options.authfile}: no such file", hint="--authfile names a file of credentials")
        return self._read

    def _usual(self) -> str:
        return usual_place(self.options, self.environ)

    def _forget(self) -> None:
        self._read = None
        self._asked.clear()


def _words(login: Login) -> tuple[str, str]:
    return (_IDENTITY, login.identity_token) if login.identity_token else (login.username, login.password)


def _login(found: tuple[str, str] | None, where: str) -> Login | None:
    if not found:
        return None
    user, secret = found
    return Login(identity_token=secret, where=where) if user == _IDENTITY else Login(user, secret, where=where)
