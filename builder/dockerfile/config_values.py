"""Values of metadata instructions, checked and brought into the form of the image config."""

from __future__ import annotations

import re

from builder.errors import DockerfileError, Span

_PORT = re.compile(r"(?:(?P<host>.*):)?(?P<port>\d+(?:-\d+)?)(?:/(?P<proto>\w+))?", re.ASCII)
_NAMES = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP "
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
)
_SIGNALS = frozenset(_NAMES.split())
_REALTIME = re.compile(r"RTMIN\+(\d+)|RTMAX-(\d+)")


def ports(word: str, span: Span) -> list[str]:
    """The exposed ports of one EXPOSE word: a range gives several, the protocol is lower case and tcp by default."""
    match = _PORT.fullmatch(word)
    protocol = (match["proto"] or "tcp").lower() if match else ""
    if not match or protocol not in ("tcp", "udp", "sctp"):
        raise DockerfileError(
            f"invalid port {word!r}", span=span, hint="write port[-last][/tcp|udp|sctp], as in 8080 or 53/udp"
        )
    first, _, last = match["port"].partition("-")
    low, high = int(first), int(last or first)
    if high > 65535 or low > high:
        raise DockerfileError(f"invalid port range {word!r}", span=span, hint="ports go from 0 to 65535, low to high")
    return [f"{port}/{protocol}" for port in range(low, high + 1)]


def stop_signal(text: str, span: Span) -> str:
    """`text` unchanged when it names a signal: 9, TERM, SIGTERM, rtmin+3."""
    if text.isdecimal():
        if 1 <= int(text) <= 64:
            return text
    else:
        name = text.upper().removeprefix("SIG")
        offset = _REALTIME.fullmatch(name)
        if name in _SIGNALS or (offset and int(offset[1] or offset[2]) <= 30):
            return text
    raise DockerfileError(f"invalid signal: {text!r}", span=span, hint="write a name such as SIGTERM, or a number")


def merge(old: tuple[tuple[str, str], ...], new: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Pairs with `new` on top: a known key keeps its place."""
    return tuple({**dict(old), **dict(new)}.items())
