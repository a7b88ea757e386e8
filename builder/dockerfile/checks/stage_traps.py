"""The traps of --strict that the text of a stage tells; those that need files are found where files are copied."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from builder.dockerfile import instructions as ins
from builder.dockerfile.checks.matter import expanded
from builder.dockerfile.checks.rules import Finding
from builder.dockerfile.checks.scripts import goes_on_after_failure
from builder.dockerfile.mounts import resolve
from builder.dockerfile.state import DEFAULT_SHELL
from builder.errors import DockerfileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from builder.dockerfile.checks.stage_rules import StageRules
    from builder.dockerfile.instructions import Mount

# `[ "$a" = b ]` is a command; a quote right behind the bracket, or a comma behind the first item, is none.
_JSON_LIKE = re.compile(r"""\[(["'“”‘’]|\s+(["'])[^"']*\2\s*,)""")


class StageTraps:
    """Looks at the instructions of all stages, in order; caches are shared by stages."""

    def __init__(self, secrets: frozenset[str], escape: str) -> None:
        self._secrets = secrets
        self._escape = escape
        self._caches: dict[str, tuple[tuple[object, ...], int]] = {}

    def findings(self, item: ins.Instruction, before: ins.Instruction | None, walk: StageRules) -> Iterator[Finding]:
        """Of one instruction: `before` is what stands directly before it, `walk` knows what it sees."""
        yield from _lookalikes(item)
        match item:
            case ins.Arg():
                yield from _overridden(item, walk)
            case ins.Workdir() if isinstance(before, ins.Workdir) and before.path != "/":
                detail = f"WORKDIR {before.path} makes a layer, and only the next WORKDIR uses it"
                yield Finding("WorkdirTwice", detail, before.span)
            case ins.Run():
                yield from self._mounts(item, walk.scope.variables)
                if goes_on_after_failure(item, walk.scope.shell or DEFAULT_SHELL):
                    detail = "the script goes on after a command that failed: only the status of the last one counts"
                    yield Finding("HeredocWithoutErrexit", detail, item.span)

    def _mounts(self, item: ins.Run, variables: Mapping[str, str]) -> Iterator[Finding]:
        for spec in item.mounts:
            try:
                mount = resolve(spec, lambda raw: expanded(raw, variables, self._escape).text)
            except DockerfileError:
                continue  # lowering refuses it, with its place
            if mount.type == "cache":
                yield from self._cache(mount, item)
            elif mount.type == "secret" and mount.env and not mount.required and mount.id not in self._secrets:
                detail = f"secret {mount.id} is optional and was not given: ${mount.env} is empty"
                yield Finding("OptionalSecretEnv", detail, item.span)

    def _cache(self, mount: Mount, item: ins.Run) -> Iterator[Finding]:
        """The first use of an id is the one that others are held against."""
        name = mount.id or posixpath.normpath(mount.target or "/")
        kind = (mount.from_, mount.source, mount.mode, mount.uid, mount.gid)
        first, line = self._caches.setdefault(name, (kind, item.span.first))
        if first != kind:
            labels = ("from", "source", "mode", "uid", "gid")
            other = [label for label, mine, theirs in zip(labels, kind, first, strict=True) if mine != theirs]
            detail = f"cache {name} is another one than that of line {line}: not the same {', '.join(other)}"
            yield Finding("CacheMountClash", detail, item.span)


def _overridden(item: ins.Arg, walk: StageRules) -> Iterator[Finding]:
    """An ARG without any value leaves the ENV as it is."""
    for name, default in item.items:
        if name not in walk.scope.env:
            continue
        value = walk.value(name, default)
        if value is not None and value != walk.scope.variables.get(name):
            detail = f"ARG {name} takes the place of the ENV of the same name for the rest of the stage"
            yield Finding("ArgOverridesEnv", detail, item.span)


def _lookalikes(item: ins.Instruction) -> Iterator[Finding]:
    match item:
        case ins.Run() | ins.Cmd() | ins.Entrypoint() | ins.Healthcheck():
            shown = "" if item.exec_form or not item.argv else item.argv[0]
        case ins.Volume():
            shown = item.paths[0] if item.paths else ""
        case ins.Copy() | ins.Add():
            shown = item.sources[0] if item.sources else ""
        case _:
            return
    if _JSON_LIKE.match(shown.lstrip()):
        name = type(item).__name__.upper()
        taken = "paths" if isinstance(item, ins.Volume | ins.Copy | ins.Add) else "a shell command"
        yield Finding("JsonLookalike", f"{name} looks like JSON, and is taken as {taken}", item.span)
