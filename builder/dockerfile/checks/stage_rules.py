"""The rules about what instructions say in their stage: variables, commands, ports, paths, secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from builder.dockerfile import instructions as ins
from builder.dockerfile.checks.matter import expanded, expanded_body
from builder.dockerfile.checks.near import suggestion
from builder.dockerfile.checks.rules import Finding
from builder.dockerfile.ignore import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from builder.dockerfile.ignore import Ignore
    from builder.dockerfile.stages import Stage

_SECRET = frozenset(
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"]
)
_HARMLESS = frozenset({"public", "file", "version"})
_ONCE = (ins.Cmd, ins.Entrypoint, ins.Healthcheck)
_EVERYTHING = ("*", "**", "**/*")
_REMOTE = ("http://", "https://", "git://", "ssh://", "git@")


class Scope:
    """What is known at one place of a stage. `complete` is False below a base image nobody looked up.

    `shell` is what SHELL said, here or in the image below; `env` are the variables that will be in the image.
    """

    def __init__(
        self,
        variables: Mapping[str, str],
        *,
        shell: tuple[str, ...] = (),
        complete: bool = True,
        env: Iterable[str] = (),
    ) -> None:
        self.variables = dict(variables)
        self.env = set(env)
        self.declared: set[str] = set()
        self.shell = shell
        self.workdir = False
        self.complete = complete

    def copy(self) -> Scope:
        child = Scope(self.variables, shell=self.shell, complete=self.complete, env=self.env)
        child.declared = set(self.declared)
        child.workdir = self.workdir
        return child


class Visitor(Protocol):
    """Sees the instructions of the stages that are walked, each before the walk has learnt from it."""

    def findings(
        self, item: ins.Instruction, before: ins.Instruction | None, walk: StageRules
    ) -> Iterator[Finding]: ...


class StageRules:
    """Walks one stage; `scope` ends as what a stage that builds on it begins with."""

    def __init__(
        self,
        scope: Scope,
        given: Mapping[str, str],
        build_args: Mapping[str, str],
        ignore: Ignore | None,
        escape: str,
        visitor: Visitor | None = None,
    ) -> None:
        self.scope = scope
        self.globals = given
        self.build_args = build_args
        self.ignore = ignore
        self.escape = escape
        self.visitor = visitor

    def findings(self, stage: Stage) -> Iterator[Finding]:
        yield from _repeated(stage.body)
        before: ins.Instruction | None = None
        for item in stage.body:
            yield from self._undefined(item)
            yield from self._one(item)
            if self.visitor:
                yield from self.visitor.findings(item, before, self)
            self._learn(item)
            before = item

    def _one(self, item: ins.Instruction) -> Iterator[Finding]:
        match item:
            case ins.Cmd() | ins.Entrypoint() if not item.exec_form and not self.scope.shell:
                name = type(item).__name__.upper()
                detail = f"JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
                yield Finding("JSONArgsRecommended", detail, item.span)
            case ins.Env() | ins.Label() | ins.Arg():
                yield from keys(item)
            case ins.Workdir():
                yield from self._workdir(item)
            case ins.Expose():
                yield from self._expose(item)
            case ins.Copy() | ins.Add():
                yield from self._ignored(item)

    def _undefined(self, item: ins.Instruction) -> Iterator[Finding]:
        missing: set[str] = set()
        for word in _words(item, self.build_args):
            missing |= expanded(word, self.scope.variables, self.escape).unmatched
        for body in _bodies(item):
            missing |= expanded_body(body, self.scope.variables).unmatched
        if not missing:
            return
        known = {*self.scope.variables, *self.scope.declared}
        for name in sorted(missing - known):
            near = suggestion(name, known)
            # A base that nobody looked up may define any name; one that is nearly a known one is misspelt.
            if near or self.scope.complete:
                hint = f" (did you mean ${near}?)" if near else ""
                yield Finding("UndefinedVar", f"Usage of undefined variable '${name}'{hint}", item.span)

    def _learn(self, item: ins.Instruction) -> None:
        match item:
            case ins.Arg():
                for name, default in item.items:
                    self._declare(name, default)
            case ins.Env():
                scope = self.scope.variables
                pairs = [(self._text(key, scope), self._text(value, scope)) for key, value in item.pairs]
                scope.update(pairs)
                self.scope.env.update(key for key, _ in pairs)
            case ins.Shell():
                self.scope.shell = item.argv
            case ins.Workdir():
                self.scope.workdir = True

    def value(self, name: str, default: str | None) -> str | None:
        """What an ARG gives its name here; None for nothing."""
        value = self.build_args.get(name)
        if value is None:
            value = self.globals.get(name) if default is None else self._text(default, self.scope.variables)
        return value

    def _declare(self, name: str, default: str | None) -> None:
        value = self.value(name, default)
        self.scope.declared.add(name)
        if value is not None:
            self.scope.variables[name] = value

    def _text(self, word: str, scope: Mapping[str, str]) -> str:
        return expanded(word, scope, self.escape).text

    def _workdir(self, item: ins.Workdir) -> Iterator[Finding]:
        path = self._text(item.path, self.scope.variables)
        unknown = not self.scope.complete and item.path.startswith("$")
        if not self.scope.workdir and not unknown and not path.startswith("/"):
            detail = f'Relative workdir "{path}" can have unexpected results if the base image changes'
            yield Finding("WorkdirRelativePath", detail, item.span)

    def _expose(self, item: ins.Expose) -> Iterator[Finding]:
        for raw in item.words:
            for word in expanded(raw, self.scope.variables, self.escape).words:
                port, _, protocol = word.partition("/")
                if protocol != protocol.lower():
                    detail = f"Defined protocol '{word}' in EXPOSE instruction should be lowercase"
                    yield Finding("ExposeProtoCasing", detail, item.span)
                if ":" in port:
                    detail = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{word}'"
                    yield Finding("ExposeInvalidFormat", detail, item.span)

    def _ignored(self, item: ins.Copy | ins.Add) -> Iterator[Finding]:
        if self.ignore is None or self.ignore.includes_again or (isinstance(item, ins.Copy) and item.from_ is not None):
            return
        for raw in item.sources:
            source = self._text(raw, self.scope.variables)
            if not source.startswith(_REMOTE) and _is_ignored(source, self.ignore):
                verb = type(item).__name__
                detail = f'Attempting to {verb} file "{source}" that is excluded by .dockerignore'
                yield Finding("CopyIgnoredFile", detail, item.span)


def _is_ignored(source: str, ignore: Ignore) -> bool:
    path = clean("/" + source).lstrip("/")
    if not path:
        return any(pattern in _EVERYTHING for pattern in ignore.patterns)
    return ignore.excluded(path)


def _repeated(body: Iterable[ins.Instruction]) -> Iterator[Finding]:
    """The earlier one is blamed: nothing of it is left."""
    last: dict[type, ins.Instruction] = {}
    for item in body:
        kind = type(item)
        if kind in _ONCE and kind in last:
            detail = (
                f"Multiple {kind.__name__.upper()} instructions should not be used in the same stage "
                "because only the last one will be used"
            )
            yield Finding("MultipleInstructionsDisallowed", detail, last[kind].span)
        last[kind] = item


def keys(item: ins.Arg | ins.Env | ins.Label) -> Iterator[Finding]:
    """What the names and the form of ARG, ENV and LABEL tell."""
    name = type(item).__name__.upper()
    if not isinstance(item, ins.Arg) and item.legacy:
        detail = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
        yield Finding("LegacyKeyValueFormat", detail, item.span)
    if isinstance(item, ins.Label):
        return
    for key, _ in item.items if isinstance(item, ins.Arg) else item.pairs:
        words = set(key.lower().split("_"))
        if words & _SECRET and not words & _HARMLESS:
            detail = f'Do not use ARG or ENV instructions for sensitive data ({name} "{key}")'
            yield Finding("SecretsUsedInArgOrEnv", detail, item.span)


def _words(item: ins.Instruction, build_args: Mapping[str, str]) -> list[str]:
    """Everything in which variables are expanded (1.3), heredoc bodies aside; not a default that is overridden."""
    match item:
        case ins.Copy() | ins.Add():
            checksum = item.checksum if isinstance(item, ins.Add) else None
            return [*item.sources, item.dest, *(word for word in (item.chown, item.chmod, checksum) if word)]
        case ins.Env() | ins.Label():
            return [word for pair in item.pairs for word in pair]
        case ins.Arg():
            return [default for name, default in item.items if default is not None and name not in build_args]
        case ins.Run():
            return [value for mount in item.mounts for key, value in mount.options if value and key != "from"]
        case ins.Workdir():
            return [item.path]
        case ins.User():
            return [item.user]
        case ins.Expose():
            return list(item.words)
        case ins.Volume():
            return list(item.paths)
        case ins.StopSignal():
            return [item.signal]
        case _:
            return []


def _bodies(item: ins.Instruction) -> list[str]:
    if isinstance(item, ins.Copy | ins.Add):
        return [heredoc.body for heredoc in item.heredocs if heredoc.expand]
    return []
