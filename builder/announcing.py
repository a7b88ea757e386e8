"""What a build tells before its first step: what it builds, what came over the network for that, and all warnings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from builder import events
from builder.dockerfile import epoch_value
from builder.dockerfile.checks import traps
from builder.dockerfile.checks.policy import BUILD_ARG
from builder.errors import DockerfileError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from builder.events import Emit
    from builder.planning import Planned
    from builder.solver.report import Report
    from builder.sources.fetcher import Asked

PROXIES = frozenset(
    spelled
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for spelled in (name, name.lower())
)
_OWN_ARGS = {epoch_value.NAME, "BUILDKIT_SYNTAX", "BUILDKIT_MULTI_PLATFORM", "BUILDKIT_CONTEXT_KEEP_GIT_DIR", BUILD_ARG}


class Announcement:
    """`fetches` are the downloads by op. Nothing is told before `tell`: a renderer may start a thread by it, and the
    user namespace is entered without one.
    """

    def __init__(self, planned: Planned, fetches: Mapping[str, Asked], emit: Emit) -> None:
        self._planned = planned
        self._fetches = fetches
        self._emit = emit
        self._told = False

    def tell(self, report: Report, tier: str) -> None:
        """Once. A build that finds everything has no tier. Raises DockerfileError where findings end a build."""
        if self._told:
            return
        self._told = True
        planned = self._planned
        steps = len(planned.graph.notes)
        self._emit(events.BuildStarted(time.monotonic(), planned.file, planned.plans[0].stage, steps, tier))
        self._tell_moved(report)
        for need in planned.needs.unlocked:
            self.warn(f"{need.place}: {need} is not locked; rbuild lock adds it")
        unused = {name for plan in planned.plans for name in plan.unused_args}
        for name in sorted(unused - PROXIES - _OWN_ARGS):
            self.warn(f"--build-arg {name} is not used by this Dockerfile")
        self._tell_findings()

    def warn(self, message: str) -> None:
        self._emit(events.Notice(time.monotonic(), "warning", message))

    def _tell_moved(self, report: Report) -> None:
        """What registries were asked, and what was downloaded."""
        for number, asked in enumerate(self._planned.search.asked, 1):
            report.asked(number, asked.reference, asked.begin, asked.end, asked.digest)
        for message in self._planned.search.warnings:
            self.warn(message)
        for digest, wanted in self._fetches.items():
            found, begin, end = self._planned.fetcher.timed(wanted)
            if found.moved:
                report.fetched(digest, begin, end, found.size)

    def _tell_findings(self) -> None:
        """Warn of what the build checks found; `error=true` makes it the end of the build."""
        found = self._planned.findings
        for each in found:
            self._emit(
                events.CheckWarning(time.monotonic(), each.rule, each.description, each.url, each.detail, each.span)
            )
        if self._planned.traps:
            raise traps.error(self._planned.traps)
        if self._planned.findings_fail:
            rules = ", ".join(sorted({each.rule for each in found}))
            raise DockerfileError(
                f"lint violation found for rules: {rules}",
                span=found[0].span,
                hint="mend them, or leave out error=true of # check=",
            )
