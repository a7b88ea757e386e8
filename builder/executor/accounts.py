"""Who `USER` and `--chown` mean, by the /etc/passwd and /etc/group of the root file system.

The files belong to the image, so they are read inside its root, only when regular, and only to a limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.snapshots.view import View

LIMIT = 16 << 20  # bytes; a passwd file of every user of a large site is about 10 MB


class Identity(NamedTuple):
    """What a process runs as. `groups` are the supplementary groups, sorted, the primary one included."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class _User(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: tuple[str, ...]


def identity(spec: str, view: View) -> Identity:
    """Identity for a USER value `user[:group]`; "" is root. Unknown names raise BuildError."""
    user_part, colon, group_part = spec.partition(":")
    users = _users(view)
    user = _find_user(user_part or "0", users, spec)
    if colon and group_part:
        gid = _group_id(group_part, view, spec)
        return Identity(user.uid, gid, (gid,), user.home)
    groups = {user.gid} | {group.gid for group in _groups(view) if user.name and user.name in group.members}
    return Identity(user.uid, user.gid, tuple(sorted(groups)), user.home)


def owner(spec: str, view: View) -> tuple[int, int, str | None]:
    """(uid, gid, warning) for `--chown=user[:group]`.

    A number alone is also the group; a name alone brings its primary group. An unknown name counts as
    root, as the reference implementation has it, with a warning; a root file system that has no account
    files at all is an error.
    """
    user_part, _, group_part = spec.partition(":")
    warnings: list[str] = []
    users = _users(view)
    uid, gid = _owner_user(user_part, users, view, spec, warnings)
    if group_part:
        gid = _owner_group(group_part, view, spec, warnings)
    return uid, gid, "; ".join(warnings) or None


def _owner_user(name: str, users: list[_User], view: View, spec: str, warnings: list[str]) -> tuple[int, int]:
    if name in ("", "root"):
        return 0, 0
    if _is_number(name):
        return _number(name, spec), _number(name, spec)
    for user in users:
        if user.name == name:
            return user.uid, user.gid
    _require_file(view, "etc/passwd", name, spec)
    warnings.append(f"no user {name!r} in /etc/passwd of this stage; the files get uid 0")
    return 0, 0


def _owner_group(name: str, view: View, spec: str, warnings: list[str]) -> int:
    if name == "root":
        return 0
    if _is_number(name):
        return _number(name, spec)
    for group in _groups(view):
        if group.name == name:
            return group.gid
    _require_file(view, "etc/group", name, spec)
    warnings.append(f"no group {name!r} in /etc/group of this stage; the files get gid 0")
    return 0


def _require_file(view: View, path: str, name: str, spec: str) -> None:
    if view.read(path, 1) is None:
        raise BuildError(
            f"cannot look up {_of(name, spec)}: this stage has no /{path}",
            hint="use numeric ids, or create the account before this instruction; with --link none are seen",
        )


def _find_user(name: str, users: list[_User], spec: str) -> _User:
    for user in users:
        if user.name == name:
            return user
    if not _is_number(name):
        if name == "root":
            return _User("root", 0, 0, "/root")
        raise BuildError(
            f"unable to find user {_of(name, spec)}: no matching entry in /etc/passwd of this stage",
            hint="create the user in an earlier RUN, or use a numeric id",
        )
    uid = _number(name, spec)
    known = next((user for user in users if user.uid == uid), None)
    return known or _User("", uid, 0, "/")


def _group_id(name: str, view: View, spec: str) -> int:
    for group in _groups(view):
        if group.name == name:
            return group.gid
    if _is_number(name):
        return _number(name, spec)
    if name == "root":
        return 0
    raise BuildError(
        f"unable to find group {_of(name, spec)}: no matching entry in /etc/group of this stage",
        hint="create the group in an earlier RUN, or use a numeric id",
    )


def _of(name: str, spec: str) -> str:
    return repr(name) if name == spec else f"{name!r} of {spec!r}"


def _is_number(text: str) -> bool:
    """Other scripts have digits, too; and int() refuses thousands of them."""
    return text.isascii() and text.isdigit() and len(text) < 20


def _number(text: str, spec: str) -> int:
    value = int(text)
    if value >= 2**32 - 1:
        raise BuildError(f"id {text} of {spec!r} is out of range", hint="ids go from 0 to 4294967294")
    return value


def _users(view: View) -> list[_User]:
    rows = (line.split(":") for line in _lines(view, "etc/passwd"))
    return [
        _User(row[0], int(row[2]), int(row[3]), row[5])
        for row in rows
        if len(row) >= 6 and _is_number(row[2]) and _is_number(row[3])
    ]


def _groups(view: View) -> list[_Group]:
    rows = (line.split(":") for line in _lines(view, "etc/group"))
    return [
        _Group(row[0], int(row[2]), tuple(row[3].split(","))) for row in rows if len(row) >= 4 and _is_number(row[2])
    ]


def _lines(view: View, path: str) -> list[str]:
    return (view.read(path, LIMIT) or b"").decode("utf-8", "surrogateescape").splitlines()
