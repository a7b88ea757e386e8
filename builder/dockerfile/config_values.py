"""Values of metadata instructions, checked and brought into the form of the image config."""

from __future__ import annotations

import re

from builder.errors import DockerfileError, Span

_RANGE = r"\d+(?:-\d+)?"
_PORT = re.compile(
    rf"(?:(?:(?P<ip>.*):)?(?P<host>{_RANGE}|):)?(?P<port>{_RANGE})(?:/(?P<proto>\w*))?", re.ASCII | re.DOTALL
)
_NAMES = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP "
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
)
_SIGNALS = frozenset(_NAMES.split())
_REALTIME = re.compile(r"RTMIN\+([1-9]|1[0-5])|RTMAX-([1-9]|1[0-4])")


def ports(word: str, span: Span) -> list[str]:
    """The exposed ports of one EXPOSE word: a range gives several, the protocol is lower case and tcp by default."""
    match = _PORT.fullmatch(word)
    protocol = (match["proto"] or "tcp").lower() if match else ""
    if not match or protocol not in ("tcp", "udp", "sctp"):
        raise DockerfileError(
            f"invalid port {word!r}", span=span, hint="write port[-last][/tcp|udp|sctp], as in 8080 or 53/udp"
        )
    _check_ip(match["ip"], word, span)
    exposed = _numbers(match["port"], word, span)
    outside = _numbers(match["host"], word, span) if match["host"] else exposed
    if len(exposed) not in (1, len(outside)):
        raise DockerfileError(f"invalid port range {word!r}: it maps {len(outside)} to {len(exposed)} ports", span=span)
    return [f"{port}/{protocol}" for port in exposed]


def _check_ip(ip: str | None, word: str, span: Span) -> None:
    """An address means nothing in an image, and is dropped; one that is none was meant as something else."""
    if not ip:
        return
    from ipaddress import ip_address

    try:
        ip_address(ip[1:-1] if ip.startswith("[") and ip.endswith("]") else ip)
    except ValueError:
        raise DockerfileError(f"invalid port {word!r}: {ip!r} is no IP address", span=span) from None


def _numbers(text: str, word: str, span: Span) -> range:
    first, _, last = text.partition("-")
    # Bounded, so that no number is too long to convert.
    low, high = (int(number.lstrip("0")[:10] or 0) for number in (first, last or first))
    if high > 65535 or low > high:
        raise DockerfileError(f"invalid port range {word!r}", span=span, hint="ports go from 0 to 65535, low to high")
    return range(low, high + 1)


def stop_signal(text: str, span: Span) -> str:
    """`text` unchanged when it names a signal: 9, TERM, SIGTERM, rtmin+3."""
    if text.isascii() and text.isdecimal():
        if text.strip("0"):
            return text  # which numbers are signals is for the system that runs the image
    else:
        name = text.upper().removeprefix("SIG")
        if name in _SIGNALS or _REALTIME.fullmatch(name):
            return text
    raise DockerfileError(f"invalid signal: {text!r}", span=span, hint="write a name such as SIGTERM, or a number")
