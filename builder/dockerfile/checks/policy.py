"""Which findings count: `# check=` of the file, and of the instruction that a finding is about (1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile.checks.rules import EXPERIMENTAL
from builder.dockerfile.checks.traps import TRAPS
from builder.dockerfile.directives import parse_check
from builder.dockerfile.nodes import Check

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from builder.dockerfile.checks.rules import Finding
    from builder.dockerfile.instructions import Dockerfile

BUILD_ARG = "BUILDKIT_DOCKERFILE_CHECK"


def of_file(dockerfile: Dockerfile, build_args: Mapping[str, str]) -> Check:
    """The build argument replaces the directive as a whole. Raises DockerfileError for a bad one."""
    given = build_args.get(BUILD_ARG)
    if given:
        return parse_check(given)
    return dockerfile.directives.check or Check()


def counted(found: Iterable[Finding], dockerfile: Dockerfile, file: Check) -> list[Finding]:
    """The findings that nobody silenced, in order of the file."""
    own = [(node.span.first, node.span.last, node.check) for node in dockerfile.nodes if node.check]
    counts = [each for each in found if _counts(each, [file, *_above(each, own)])]
    return sorted(counts, key=lambda each: each.span.first)


def _above(finding: Finding, own: list[tuple[int, int, Check]]) -> list[Check]:
    return [check for first, last, check in own if first <= finding.span.first <= last]


def _counts(finding: Finding, checks: list[Check]) -> bool:
    """`skip` silences no experimental rule, which is silent until somebody asks for it."""
    if finding.rule in EXPERIMENTAL:
        return any(check.experimental_all or finding.rule in check.experimental for check in checks)
    if finding.rule in TRAPS:  # `all` means the rules of the reference: --strict was asked for by whoever builds
        return not any(finding.rule in check.skip for check in checks)
    # Asking for a rule by name as an experimental one is stronger than skipping it.
    if any(finding.rule in check.experimental for check in checks):
        return True
    return not any(check.skip_all or finding.rule in check.skip for check in checks)
