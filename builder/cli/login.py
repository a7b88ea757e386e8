"""rbuild login and logout: credentials that a registry has accepted, kept where other programs find them, too."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from builder.cli.registry_options import is_text, registry_options
from builder.errors import AuthError, BuildError, UsageError
from builder.registry.keys import Keychain, Login
from builder.registry.prefixes import HUB, normal

if TYPE_CHECKING:
    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors
    from builder.oci.reference import Reference
    from builder.registry.options import RegistryOptions

_LONGEST = 64 << 10  # of a password: some are tokens


def login(arguments: Arguments, console: Console, doors: Doors) -> int:
    """Asks the registry before anything is kept. Prints the registry, the user, and where that is kept."""
    if "password" in arguments.values:
        raise UsageError(
            "a password on the command line is refused: everybody on this machine could read it", hint=_PIPE
        )
    prefix = normal(arguments.operand(HUB))
    where = _reference(prefix)
    options = registry_options(arguments)
    keys = Keychain(options, console.environ)
    if arguments.flag("get-login"):
        return _show(keys, where, console)
    given = _given(arguments, console)
    if not _accepted(where, given, options, console):
        console.err(f"warning: {prefix} asks for no credentials, so that these could not be tried\n")
    kept = keys.save(prefix, given)
    console.out(f"logged in to {prefix} as {given.username}: {kept}\n")
    if "/" in kept:
        console.err(
            f"warning: {kept} holds the password as it is, readable by you alone; "
            "a credential helper would keep it encrypted (docs/registries.md)\n"
        )
    return 0


def logout(arguments: Arguments, console: Console, doors: Doors) -> int:
    """Forgets what is kept for one registry or prefix, or --all. What was not there is no error."""
    keys = Keychain(registry_options(arguments), console.environ)
    everything = arguments.flag("all")
    if everything and arguments.operands:
        raise UsageError(f"--all and {arguments.operands[0]} exclude one another", hint="leave one of them away")
    prefixes = keys.prefixes() if everything else (str(normal(arguments.operand(HUB))),)
    if not prefixes:
        console.out("not logged in to any registry\n")
    for prefix in prefixes:
        found = keys.erase(prefix)
        console.out(f"logged out of {prefix}: {', '.join(found)}\n" if found else f"not logged in to {prefix}\n")
    for left in () if everything else keys.prefixes():
        if left.startswith(f"{prefixes[0]}/"):
            console.err(f"note: credentials for {left} are still kept: rbuild logout {left}\n")
    return 0


def _reference(prefix: str) -> Reference:
    """A repository as a reference has it, without one where the whole registry is meant."""
    from builder.oci.reference import parse_reference

    host, _, path = prefix.partition("/")
    try:
        found = parse_reference(f"{host}/{path or 'any'}")
    except BuildError as error:
        raise UsageError(f"{prefix}: not a registry: {error.message}", hint=_FORM) from error
    if found.domain != host or found.tag or found.digest:
        raise UsageError(f"{prefix}: not a registry, or a prefix of repositories", hint=_FORM)
    return found if path else found._replace(path="")


_FORM = "as in registry.example:5000, localhost or quay.io/team; a name without dot or port is one of docker.io"


def _show(keys: Keychain, where: Reference, console: Console) -> int:
    found = keys.find(where.domain, where.path)
    if found is None:
        raise AuthError(f"not logged in to {where.domain}", hint=f"rbuild login {where.domain}")
    console.out(f"{found.username or '<token>'}\n")
    return 0


def _given(arguments: Arguments, console: Console) -> Login:
    """User and password, from standard input or a terminal."""
    if arguments.flag("password-stdin"):
        return Login(_user(arguments, console, asked=False), _piped())
    user = _user(arguments, console, asked=sys.stdin.isatty())
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the password on", hint=_PIPE)
    from getpass import getpass

    try:
        password = getpass("Password: ")
    except EOFError:
        password = ""
    return Login(user, _checked(password))


_PIPE = "write it to standard input: rbuild login -u USER --password-stdin REGISTRY < FILE"


def _user(arguments: Arguments, console: Console, *, asked: bool) -> str:
    user = arguments.one("username")
    if user is None and asked:
        console.err("Username: ")
        user = sys.stdin.readline().strip()
    if not user:
        raise UsageError("the user name is missing", hint=_PIPE)
    if not is_text(user):
        raise UsageError("the user name is not UTF-8")
    if ":" in user:  # what follows would be taken for the password (RFC 7617)
        raise UsageError(f"-u {user.partition(':')[0]}:…: a user name holds no colon", hint=_PIPE)
    return user


def _piped() -> str:
    try:
        text = sys.stdin.read(_LONGEST + 1)
    except UnicodeDecodeError:
        raise UsageError("standard input holds what is not text") from None
    if len(text) > _LONGEST:
        raise UsageError("standard input holds too much for a password")
    return _checked(text.rstrip("\r\n"))


def _checked(password: str) -> str:
    if not password:
        raise UsageError("the password is empty", hint=_PIPE)
    if "\n" in password:
        raise UsageError("the password has more than one line")
    if not is_text(password):
        raise UsageError("the password is not UTF-8")
    return password


class _Shown(Keychain):
    """One login alone, that is still to be tried."""

    def __init__(self, login: Login, options: RegistryOptions, console: Console) -> None:
        super().__init__(options, console.environ)
        self._login = login

    def find(self, host: str, repository: str = "", *, mirror: bool = False) -> Login:
        return self._login


def _accepted(where: Reference, given: Login, options: RegistryOptions, console: Console) -> bool:
    """Whether the registry wanted a login, and took this one. AuthError where it refuses it."""
    from threading import Event

    from builder.registry.registry import Registry

    with Registry(options, console.environ, Event(), keychain=_Shown(given, options, console)) as registry:
        endpoint = registry.routes.push(where)._replace(repository="")

        def ask() -> bool:
            with registry.request(endpoint, "GET", "/v2/", step="login"):
                return registry.known(endpoint)

        try:
            return registry.persist(ask)
        except AuthError as error:
            raise AuthError(error.message, hint=_ADVICE) from error


_ADVICE = "check the user name and the password; some registries want an access token in its place"
