"""Resource limits of a step: `--ulimit` names to the kernel's numbers, over the limits that every step gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Limit = tuple[int, int, int]

OPEN_FILES = 65536  # as low as old programs need that loop over all descriptors, as high as builds need
_LOCKS = 10  # RLIMIT_LOCKS, which Python does not name
UNLIMITED = -1


def limits(ulimits: Sequence[tuple[str, int, int]]) -> tuple[Limit, ...]:
    """(resource, soft, hard) for setrlimit. SandboxError for a limit above what this process may give."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    found = {resource.RLIMIT_NOFILE: (files, files), resource.RLIMIT_CORE: (0, 0)}
    for name, low, high in ulimits:
        number = getattr(resource, f"RLIMIT_{name.upper()}", _LOCKS)
        _check(name, high, resource.getrlimit(number)[1])
        found[number] = (low, high)
    return tuple((number, _unsigned(low), _unsigned(high)) for number, (low, high) in found.items())


def _check(name: str, wanted: int, allowed: int) -> None:
    """Raising a hard limit takes a capability that no user namespace gives."""
    if allowed != UNLIMITED and (wanted == UNLIMITED or wanted > allowed):
        raise SandboxError(
            f"--ulimit {name}={wanted} is above the hard limit of this process, {allowed}",
            hint=f"lower it to {allowed}, or start rbuild with a higher limit (ulimit -H, limits.conf)",
        )


def _unsigned(value: int) -> int:
    return 2**64 - 1 if value == UNLIMITED else value
