"""`RUN --mount=`: comma-separated options to a Mount (the table of dockerfile-language 1.8).

Two steps, because values may hold variables: `parse_mount` checks the form and the names when the file
is read, `resolve` expands the values and checks them against the mount's type.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from builder.dockerfile.faults import Fault, did_you_mean
from builder.dockerfile.instructions import Mount, MountSpec
from builder.dockerfile.sizes import parse_size
from builder.dockerfile.words import process_word

if TYPE_CHECKING:
    from collections.abc import Callable

_ALIASES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "rw": "readwrite",
}
_KEYS = (
    "type", "from", "source", "target", "readonly", "readwrite", "id", "sharing", "required",
    "size", "mode", "uid", "gid", "env",
)  # fmt: skip
_BARE = frozenset({"readonly", "readwrite", "required"})
_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARING = ("shared", "private", "locked")
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_FIELD = re.compile(r'"(?P<quoted>(?:[^"]|"")*)"|(?P<plain>[^",]*)')
_VARIABLE = re.compile(r"\$.", re.DOTALL)

# Options that mean something to some types only, and are errors for the others.
_ONLY_FOR = {
    "required": ("secret", "ssh"),
    "size": ("tmpfs",),
    "sharing": ("cache",),
    "mode": ("cache", "secret", "ssh"),
    "uid": ("cache", "secret", "ssh"),
    "gid": ("cache", "secret", "ssh"),
    "env": ("secret",),
    "from": ("bind", "cache", "tmpfs", "ssh"),
    "source": ("bind", "cache", "tmpfs", "secret"),
}
_MODES = {"cache": 0o755, "secret": 0o400, "ssh": 0o600}


def split_csv(text: str, near: str) -> list[str]:
    """The fields of one CSV record: a field in double quotes may hold commas, and `""` for a quote."""
    fields: list[str] = []
    position = 0
    while True:
        match = _FIELD.match(text, position)
        end = match.end() if match else position
        if not match or text[end : end + 1] not in (",", ""):
            raise Fault(f"misplaced double quote in {text!r}", near=near)
        quoted = match["quoted"]
        fields.append(match["plain"] if quoted is None else quoted.replace('""', '"'))
        if end == len(text):
            return fields
        position = end + 1


def parse_mount(text: str) -> MountSpec:
    """The options of a mount, their names checked; their values too, where no variable is involved."""
    spec = MountSpec(text, tuple(_option(field) for field in split_csv(text, "--mount")))
    if "$" not in text:
        resolve(spec, lambda value: process_word(value, {}))
    return spec


def _option(field: str) -> tuple[str, str | None]:
    written, equals, value = field.partition("=")
    key = _ALIASES.get(written.lower(), written.lower())
    if key not in _KEYS:
        hint = did_you_mean(written, (*_KEYS, *_ALIASES))
        raise Fault(f"unexpected mount option '{written}' in '{field}'", near=field or "--mount", hint=hint)
    if not equals and key not in _BARE:
        raise Fault(f"invalid mount option '{field}'", near=field, hint=f"{written}=<value>")
    if key == "from" and _VARIABLE.search(value):
        raise Fault(
            "'from' of a mount doesn't support variable expansion",
            near=field,
            hint=f"define a stage instead: FROM {value} AS <name>",
        )
    return key, value if equals else None


def resolve(spec: MountSpec, expand: Callable[[str], str]) -> Mount:
    """The mount that `spec` means, given how a raw value expands."""
    values: dict[str, str | None] = {}
    for key, raw in spec.options:
        values[key] = raw if raw is None or key == "from" else expand(raw)
    kind = _choice("type", values.get("type") or "bind", _TYPES)
    for key in values:
        if kind not in _ONLY_FOR.get(key, _TYPES):
            raise Fault(f"unexpected key '{key}' for mount type '{kind}'", near=key)
    mount = _with_defaults(_mount(kind, values))
    _check(mount)
    return mount


def _mount(kind: str, values: dict[str, str | None]) -> Mount:
    return Mount(
        type=kind,
        target=values.get("target") or None,
        source=values.get("source") or None,
        from_=values.get("from") or None,
        id=values.get("id") or None,
        readonly=_readonly(kind, values),
        sharing=_choice("sharing", values["sharing"] or "", _SHARING) if "sharing" in values else None,
        size=_size(values["size"] or "") if "size" in values else None,
        mode=_number("mode", values, base=8),
        uid=_number("uid", values, base=10),
        gid=_number("gid", values, base=10),
        required=_boolean("required", values) if "required" in values else False,
        env=values.get("env") or None,
    )


def _with_defaults(mount: Mount) -> Mount:
    if mount.type in _MODES:
        mode = _MODES[mount.type] if mount.mode is None else mount.mode
        mount = mount._replace(mode=mode, uid=mount.uid or 0, gid=mount.gid or 0)
    match mount.type:
        case "cache":
            return mount._replace(sharing=mount.sharing or "shared")
        case "ssh":
            return mount._replace(id=mount.id or "default")
        case "secret":
            return _secret(mount)
        case _:
            return mount


def _secret(mount: Mount) -> Mount:
    if not (mount.id or mount.source or mount.target):
        raise Fault("a secret mount needs an id, a source or a target", near="--mount")
    if mount.id and mount.source:
        raise Fault("a secret mount cannot have both id and source", near="source")
    name = mount.id or mount.source or posixpath.basename(mount.target or "")
    target = mount.target
    if not target and not mount.env:
        target = "/run/secrets/" + posixpath.basename(name)
    return mount._replace(id=name, source=None, target=target)


def _check(mount: Mount) -> None:
    if mount.type in ("bind", "cache", "tmpfs") and not mount.target:
        raise Fault(f"a {mount.type} mount needs a target", near="--mount", hint="target=<path>")
    if mount.target and mount.target.startswith("/") and not mount.target.strip("/"):
        raise Fault(f"invalid mount target {mount.target!r}", near=mount.target)


def _readonly(kind: str, values: dict[str, str | None]) -> bool:
    """What the last of `readonly` and `readwrite` says; else the type's default."""
    for key in reversed(values):
        if key == "readonly":
            return _boolean(key, values)
        if key == "readwrite":
            return not _boolean(key, values)
    return kind not in ("cache", "tmpfs")


def _boolean(key: str, values: dict[str, str | None]) -> bool:
    value = values[key]
    return True if value is None else parse_boolean(key, value)


def parse_boolean(key: str, value: str) -> bool:
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise Fault(f"invalid value for {key}: {value!r}", near=f"{key}={value}", hint="true or false")


def _choice(key: str, value: str, known: tuple[str, ...]) -> str:
    if value.lower() not in known:
        hint = did_you_mean(value, known) or "known: " + ", ".join(known)
        raise Fault(f"unsupported mount {key} {value!r}", near=value or key, hint=hint)
    return value.lower()


def _number(key: str, values: dict[str, str | None], *, base: int) -> int | None:
    if key not in values:
        return None
    value = values[key] or ""
    digits = "01234567" if base == 8 else "0123456789"
    if not value or len(value) > 32 or value.strip(digits) or int(value, base) >= 2**32:
        raise Fault(f"invalid value {value!r} for {key}", near=f"{key}={value}")
    return int(value, base)


def _size(value: str) -> int:
    found = parse_size(value)
    if found is None:
        raise Fault(f"invalid value for size: {value!r}", near=f"size={value}", hint="like 64m or 1g")
    return found
