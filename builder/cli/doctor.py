"""rbuild doctor: what isolation this host gives, the first refusal of what it does not, and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import BuildError, of_system
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.cli.argv import Arguments
    from builder.cli.console import Console
    from builder.cli.doors import Doors

_TIERS = (
    ("userns", "RUN with all ids: newuidmap and a subuid range, or root"),
    ("single", "RUN as one id: an unprivileged user namespace"),
    ("none", "builds without RUN"),
)


class Finding(NamedTuple):
    """`refusal` and `hint` are empty for a tier that works here."""

    tier: str
    means: str
    refusal: str = ""
    hint: str = ""


def run(arguments: Arguments, console: Console, doors: Doors) -> int:
    """Status 0 when RUN works in some tier, else 1."""
    # An overlay must work where the store is, not just anywhere.
    store = doors.open_store(arguments.one("store")).root
    findings = [_probe(tier, means, store, doors) for tier, means in _TIERS]
    best = next(finding.tier for finding in findings if not finding.refusal or finding.tier == "none")
    platforms = doors.foreign_platforms(best, store)
    console.out(_json(best, findings, platforms) if arguments.flag("json") else _text(best, findings, platforms))
    return 0 if best != "none" else 1


def _probe(tier: str, means: str, store: str | None, doors: Doors) -> Finding:
    try:
        doors.choose_tier(tier, tier != "none", store)
    except BuildError as error:
        return Finding(tier, means, error.message, error.hint or "")
    except OSError as error:
        return Finding(tier, means, of_system(error).message)
    return Finding(tier, means)


def _text(best: str, findings: list[Finding], platforms: dict[str, str]) -> str:
    lines = [f"tier: {best}"]
    for finding in findings:
        lines.append(f"  {finding.tier:<7} {'no ' if finding.refusal else 'yes'}  {finding.means}")
        lines += [f"               {line}" for line in finding.refusal.splitlines()]
        lines += [f"               hint: {line}" for line in finding.hint.splitlines()]
    if platforms:
        lines.append("platforms of RUN:")
        lines += [f"  linux/{name:<9} {f'yes  {how}' if how else 'no'}" for name, how in platforms.items()]
    if not all(platforms.values()):
        lines.append("  hint: apt-get install qemu-user-static runs those of other machines")
    return "".join(f"{line}\n" for line in lines)


def _json(best: str, findings: list[Finding], platforms: dict[str, str]) -> str:
    import json

    tiers = [
        {
            "tier": each.tier,
            "works": not each.refusal,
            "refusal": each.refusal or None,
            "hint": each.hint or None,
        }
        for each in findings
    ]
    return (
        json.dumps(
            {
                "tier": best,
                "tiers": tiers,
                "platforms": {f"linux/{name}": how or None for name, how in platforms.items()},
            },
            indent=2,
        )
        + "\n"
    )
