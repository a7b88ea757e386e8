"""The values of options that say more than one word: --secret, --ssh, --ulimit, --add-host, --annotation and sizes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.request import Secret

_ANNOTATION = re.compile(
    r"(?:(?P<levels>(?:(?:manifest|index|manifest-descriptor|index-descriptor)(?:\[[^]]*\])?,?)+):)?"
    r"(?P<key>[^=]+)=(?P<value>.*)",
    re.DOTALL,
)
_HOST = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)[:=](?P<address>\[[^]]+\]|\S+)", re.ASCII)
_LIMITS = (
    "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip
ENTITLEMENTS = ("network.host", "security.insecure")


PULL_POLICIES = ("missing", "always", "newer", "never")


def pull_policy(text: str | None) -> str:
    """Docker's --pull is a flag, buildah's names a policy."""
    policy = {None: "missing", "true": "always", "false": "missing"}.get(text, text) or "missing"
    if policy not in PULL_POLICIES:
        raise UsageError(f"--pull={text}: choose one of {', '.join(PULL_POLICIES)}")
    return policy


def secrets(texts: Sequence[str]) -> tuple[Secret, ...]:
    """`id=NAME[,src=PATH|env=VARIABLE][,type=file|env]`; without a source, the variable or the file NAME."""
    return tuple(_secret(text) for text in texts)


def _secret(text: str) -> Secret:
    from builder.request import Secret

    fields = _fields("--secret", text, ("id", "src", "source", "env", "type"))
    if not fields.get("id"):
        raise UsageError(f"--secret {text}: id= is missing", hint="write --secret id=NAME,src=FILE")
    path, variable, kind = fields.get("src") or fields.get("source"), fields.get("env"), fields.get("type")
    if kind not in (None, "file", "env"):
        raise UsageError(f"--secret {text}: type={kind} is unknown", hint="file or env")
    if path and variable:
        raise UsageError(f"--secret {text}: src= and env= are both given")
    if variable or (path and kind == "env"):
        return Secret(fields["id"], "env", variable or path or "")
    if path:
        return Secret(fields["id"], "file", path)
    return Secret(fields["id"], kind or "", fields["id"])


def _fields(option: str, text: str, known: Sequence[str]) -> dict[str, str]:
    import csv

    rows = list(csv.reader([text], strict=False))
    fields: dict[str, str] = {}
    for item in rows[0] if rows else ():
        key, equals, value = item.partition("=")
        if not equals or key.lower() not in known:
            raise UsageError(f"{option} {text}: unexpected {item!r}", hint=f"known are {', '.join(known)}")
        if key.lower() in fields:
            raise UsageError(f"{option} {text}: {key} is given twice")
        fields[key.lower()] = value
    return fields


def agents(texts: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """`default` or `ID[=SOCKET|KEY[,KEY…]]`."""
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, _, paths = text.partition("=")
        if not name:
            raise UsageError(f"--ssh {text}: the id is missing", hint="write --ssh default or --ssh ID=SOCKET")
        if name in found:
            raise UsageError(f"--ssh {name} is given twice")
        found[name] = tuple(path for path in paths.split(",") if path)
    return tuple(found.items())


def ulimits(texts: Sequence[str]) -> tuple[tuple[str, int, int], ...]:
    """`NAME=SOFT[:HARD]`; -1 is no limit. The last of a name counts."""
    found = (_ulimit(text) for text in texts)
    return tuple({limit[0]: limit for limit in found}.values())


def _ulimit(text: str) -> tuple[str, int, int]:
    name, equals, values = text.partition("=")
    if not equals or name not in _LIMITS:
        raise UsageError(f"--ulimit {text}: expected NAME=SOFT[:HARD]", hint=f"names are {', '.join(_LIMITS)}")
    soft, colon, hard = values.partition(":")
    if not all(re.fullmatch(r"-1|\d{1,19}", part, re.ASCII) for part in ([soft, hard] if colon else [soft])):
        raise UsageError(f"--ulimit {text}: a limit is a number, -1 for none")
    low, high = int(soft), int(hard) if colon else int(soft)
    if high != -1 and (low > high or low == -1):
        raise UsageError(f"--ulimit {text}: the soft limit is above the hard one")
    return name, low, high


def hosts(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`NAME:ADDRESS` or `NAME=ADDRESS`; an IPv6 address may stand in brackets."""
    return tuple(_host(text) for text in texts)


def _host(text: str) -> tuple[str, str]:
    import ipaddress

    match = _HOST.fullmatch(text)
    if not match:
        raise UsageError(f"--add-host {text}: expected NAME:ADDRESS")
    address = match["address"].strip("[]")
    if address == "host-gateway":
        raise UsageError(
            f"--add-host {text}: host-gateway is not supported", hint="RUN is on the host's network: use 127.0.0.1"
        )
    try:
        return match["name"], str(ipaddress.ip_address(address))
    except ValueError:
        raise UsageError(f"--add-host {text}: {address} is not an IP address") from None


def annotated(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`[LEVEL[,LEVEL…]:]KEY=VALUE`: the pair of `LEVEL…:KEY` and VALUE. Levels are the reference's."""
    found = []
    for text in texts:
        match = _ANNOTATION.fullmatch(text)
        if not match:
            raise UsageError(f"--annotation {text}: expected [LEVEL:]KEY=VALUE", hint="LEVEL is manifest or index")
        levels = (match["levels"] or "").rstrip(",")
        found.append((f"{levels}:{match['key']}" if levels else match["key"], match["value"]))
    return tuple(found)


def size(option: str, text: str | None) -> int:
    """Bytes of `64m`, `1.5g`, `4096`; units are powers of 1024. 0 where nothing is given."""
    if not text:
        return 0
    from builder.dockerfile.sizes import parse_size

    found = parse_size(text)
    if found is None:
        raise UsageError(f"{option} {text}: expected a size", hint="like 64m or 1g")
    return found


def entitlements(texts: Sequence[str]) -> frozenset[str]:
    names = [name for text in texts for name in text.split(",") if name]
    for name in names:
        if name not in ENTITLEMENTS:
            raise UsageError(f"--allow {name} is not supported", hint=f"known are {', '.join(ENTITLEMENTS)}")
    return frozenset(names)


def platforms(texts: Sequence[str]) -> tuple[str, ...]:
    """Comma-separated platforms in one spelling, each once, in order; `local` is this machine's."""
    from builder.errors import BuildError
    from builder.oci.platform import host, parse_platform

    found: dict[str, None] = {}
    for word in (word.strip() for text in texts for word in text.split(",")):
        try:
            found[str(host() if word == "local" else parse_platform(word))] = None
        except BuildError as error:
            raise UsageError(f"--platform: {error.message}", hint=error.hint) from error
    return tuple(found)
