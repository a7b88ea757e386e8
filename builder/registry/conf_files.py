"""Where registries.conf and its drop-ins are, and which of them count.

A file that is named (--registries-conf, $CONTAINERS_REGISTRIES_CONF) is all there is. Else it is the user's with
the user's drop-ins; else the system's, with those of the system and then of the user.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.errors import UsageError
from builder.registry.registries_conf import Conf, merged, parse_conf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SYSTEM = "/etc/containers"
_LARGEST = 4 << 20


def load_conf(named: str, environ: Mapping[str, str]) -> Conf:
    """`named` is the file of the command line, or "". Raises UsageError for a faulty or missing one."""
    chosen = named or environ.get("CONTAINERS_REGISTRIES_CONF", "")
    if chosen:
        return merged([_parsed(chosen, _content(chosen))])
    return merged(_usual(config_home(environ)))


def config_home(environ: Mapping[str, str]) -> str:
    """$XDG_CONFIG_HOME, which is ignored where it is relative, else ~/.config, or "" for who has no home."""
    home = environ.get("HOME", "")
    given = environ.get("XDG_CONFIG_HOME", "")
    return given if os.path.isabs(given) else os.path.join(home, ".config") if home else ""


def _usual(home: str) -> Iterator[Conf]:
    own = os.path.join(home, "containers") if home else ""
    if own and os.path.exists(os.path.join(own, "registries.conf")):
        yield from _of_directory(own)
        return
    yield from _of_directory(SYSTEM)
    if own:
        yield from _of_directory(own)


def _of_directory(path: str) -> Iterator[Conf]:
    main = os.path.join(path, "registries.conf")
    if os.path.exists(main):
        yield _parsed(main, _content(main))
    for file in _drop_ins(f"{main}.d"):
        conf = _parsed(file, _content(file))
        # The list that distributions ship gives Docker's names other meanings: FROM centos would depend on the host.
        shipped = path == SYSTEM and file.endswith("shortnames.conf")
        yield conf._replace(aliases=()) if shipped else conf


def _drop_ins(directory: str) -> list[str]:
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(directory, error) from error
    paths = [os.path.join(directory, name) for name in sorted(names) if name.endswith(".conf")]
    return [path for path in paths if not os.path.isdir(path)]


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(content) > _LARGEST:
        raise UsageError(f"{path}: larger than {_LARGEST} bytes: not a registries.conf")
    return content


def _parsed(path: str, content: bytes) -> Conf:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}: not a registries.conf") from error
    return parse_conf(path, text)


def _unreadable(path: str, error: OSError) -> UsageError:
    return UsageError(
        f"{path}: cannot be read: {error.strerror}",
        hint="name another with --registries-conf FILE, or /dev/null for none",
    )
