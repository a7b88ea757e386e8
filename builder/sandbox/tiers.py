"""The tiers of isolation: which one a build gets, and what a weaker one cannot do.

userns   user namespace with ids 0..65535 (newuidmap, or real root)   owners are real on disk
single   user namespace with the user's one id, seen as root          owners are recorded
none     no sandbox: builds without RUN                               owners are recorded
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from builder.errors import SandboxError, UsageError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.sandbox.probe import Refusal

Tier = Literal["userns", "single", "none"]
Owners = Literal["real", "recorded"]
TIERS: tuple[Tier, ...] = ("userns", "single", "none")


class Answer(NamedTuple):
    """What the probes said. `notice`: why it is weaker than the host's set-up suggests, else None."""

    tier: Tier
    notice: str | None


_answers: dict[str | None, Answer] = {}  # by store directory; the kernel does not change its mind


def owners_of(tier: Tier) -> Owners:
    """How trees made in this tier carry ownership."""
    return "real" if tier == "userns" else "recorded"


def choose(requested: str | None, needs_run: bool, store: str | None = None) -> Tier:
    """The strongest tier that this host gives and the build needs. Probes the kernel once a process.

    `requested` (--isolation) fixes the tier. `store` is the directory whose file system must carry the
    overlay. Raises SandboxError naming the first refused call, its errno and what to change; never
    falls back from a requested tier.
    """
    if requested is not None:
        return _take(requested, needs_run, store)
    return strongest(store).tier if needs_run else "none"


def notice(store: str | None = None) -> str | None:
    """After `choose`: why the tier is weaker than the host's set-up suggests, for a warning. None mostly."""
    answer = _answers.get(store)
    return answer.notice if answer else None


def _take(requested: str, needs_run: bool, store: str | None) -> Tier:
    if requested == "chroot":
        raise SandboxError("isolation chroot is not supported yet", hint=f"known are {', '.join(TIERS)}")
    tier = next((tier for tier in TIERS if tier == requested), None)
    if tier is None:
        raise UsageError(f"unknown isolation {requested!r}", hint=f"known are {', '.join(TIERS)}")
    if tier == "none" and needs_run:
        raise SandboxError("a RUN needs a sandbox, and isolation none gives it none")
    refusal = None if tier == "none" else _probe(tier, store)
    if refusal:
        raise SandboxError(refusal.message, hint=refusal.hint)
    return tier


def strongest(store: str | None = None) -> Answer:
    """The best sandbox this host gives, by trying."""
    if store not in _answers:
        _answers[store] = _try_in_turn(store)
    return _answers[store]


def _try_in_turn(store: str | None) -> Answer:
    refused, expected = _refusal_of_many_ids(store)
    if refused is None:
        return Answer("userns", None)
    refusal = _probe("single", store)
    if refusal:
        raise SandboxError(f"this host gives no sandbox: {refusal.message}", hint=refusal.hint)
    return Answer("single", f"one user id only: {refused.message}; {refused.hint}" if expected else None)


def _refusal_of_many_ids(store: str | None) -> tuple[Refusal | None, bool]:
    """And whether the user has reason to expect otherwise. Having no range at all is the ordinary case."""
    from builder.sandbox import idmaps
    from builder.sandbox.probe import Refusal

    try:
        idmaps.many()
    except idmaps.NoSubIds as error:
        return Refusal(error.message, error.hint or ""), error.expected
    return _probe("userns", store), True


def _probe(tier: Tier, store: str | None) -> Refusal | None:
    from builder.sandbox import probe

    return probe.probe(tier, store)
