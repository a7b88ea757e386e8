"""--call: what is asked about a Dockerfile, as text or as the JSON of buildx; nothing is built, no store is opened."""

from __future__ import annotations

import base64
import io
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.cli.errors import excerpt, render
from builder.dockerfile.checks.check import check as findings_of
from builder.dockerfile.checks.check import outline
from builder.dockerfile.checks.matter import Matter
from builder.dockerfile.checks.outline import targets
from builder.dockerfile.ignore import Ignore
from builder.dockerfile.parser import parse
from builder.errors import BuildError, UsageError
from builder.sources.definition import read_dockerfile, read_ignore

if TYPE_CHECKING:
    from builder.cli.console import Console
    from builder.dockerfile.checks.rules import Finding
    from builder.dockerfile.instructions import Dockerfile
    from builder.errors import Span
    from builder.oci.platform import Platform
    from builder.oci.resolved import ResolvedImage
    from builder.request import BuildRequest
    from builder.sources.definition import Definition


_BLOCK = 512

METHODS = ("check", "outline", "targets")


def answer(request: BuildRequest, call: str, console: Console) -> int:
    """The exit status. `call` is `METHOD` or `METHOD,format=json|text`; UsageError for any other."""
    method, _, option = call.partition(",")
    if method not in METHODS:
        raise UsageError(f"--call={call}: unknown method", hint=f"build, {', '.join(METHODS)}")
    if option not in ("", "format=text", "format=json"):
        raise UsageError(f"--call={call}: unknown option {option!r}", hint=f"{method},format=json")
    form = option.removeprefix("format=") or "text"
    if method == "check":
        return check(request, form, console)
    from builder.cli import answers

    definition, matter = _asked(request)
    parsed = parse(definition.content, definition.file)
    if method == "targets":
        console.out(answers.targets(targets(parsed, matter), form, definition.content))
    else:
        console.out(answers.outline(outline(parsed, request.target, matter), form, definition.content))
    return 0


def _asked(request: BuildRequest) -> tuple[Definition, Matter]:
    from builder.dockerfile.gitref import redacted
    from builder.oci.platform import host, parse_platform

    piped = "-" in (request.context, request.dockerfile)
    for source in () if piped else (request.context, request.dockerfile or ""):
        if source.startswith(("http://", "https://")) or not os.path.isdir(request.context):
            raise UsageError(
                f"--call reads a local Dockerfile or standard input, and not {redacted(source)}",
                hint="every build checks too: rbuild build tells what is found",
            )
    definition = _piped() if piped else read_dockerfile(request.context, request.dockerfile)
    given = ((name, os.environ.get(name) if value is None else value) for name, value in request.build_args)
    args = {name: value for name, value in given if value is not None}
    named = frozenset(name for name, _ in request.build_contexts)
    platform = parse_platform(request.platforms[0]) if request.platforms else host()
    ignore = Ignore() if request.context == "-" else read_ignore(request.context, definition.file)
    secrets = frozenset(item.id for item in request.secrets)
    return definition, Matter(args, platform, lambda name, platform, span: None, ignore, named, host(), secrets)


def _piped() -> Definition:
    from builder.layers.tarstart import starts_tar
    from builder.sources.definition import STDIN, Definition

    with open(0, "rb", closefd=False) as file:
        content = file.read()
    if starts_tar(content[:_BLOCK], io.BytesIO(content[_BLOCK:])):
        raise UsageError("--call reads a Dockerfile from standard input, and not an archive", hint="unpack it first")
    return Definition(STDIN, content)


class _UnknownBase(Exception):
    """A base that only a build would look up: what follows from it cannot be known."""


def _lower(dockerfile: Dockerfile, request: BuildRequest, matter: Matter) -> None:
    """Raises the BuildError that a build would end with before its first step, as far as no base has to be known."""
    from builder.dockerfile import lower
    from builder.dockerfile.run_options import Confinement

    def unknown(name: str, platform: Platform, span: Span) -> ResolvedImage:
        raise _UnknownBase(name)

    settings = lower.Settings(
        build_args=matter.build_args,
        labels=(),
        contexts=frozenset(),
        replaced=matter.named,
        platform=matter.platform,
        build_platform=matter.build_platform or matter.platform,
        network="host",
        resolve=unknown,
        confinement=Confinement(allow=request.allow | ({"network.host"} if request.network == "host" else set())),
    )
    with suppress(_UnknownBase):
        lower.lower(dockerfile, request.target, settings)


def check(request: BuildRequest, form: str, console: Console) -> int:
    definition, matter = _asked(request)
    found: list[Finding] = []
    error: BuildError | None = None
    try:
        dockerfile = parse(definition.content, definition.file)
        found = findings_of(dockerfile, request.target, matter, whole=request.target is None, strict=request.strict)
        _lower(dockerfile, request, matter)
    except BuildError as problem:
        error = problem
    if form == "json":
        console.out(_json(found, error, definition.file, definition.content))
    else:
        console.out(_text(found, error, definition.content))
    return 1 if found or error else 0


def _text(found: list[Finding], error: BuildError | None, content: bytes) -> str:
    parts = []
    for each in found:
        title = f"WARNING: {each.rule}" + (f" - {each.url}" if each.url else "")
        lines = "\n".join(excerpt(each.span, source=content))
        parts.append(f"{title}\n{each.detail}\n{each.span}\n{lines}\n")
    if error:
        error.source = content
        parts.append(render(error))
    return "\n".join(parts) or "Check complete, no warnings found.\n"


def _json(found: list[Finding], error: BuildError | None, file: str, content: bytes) -> str:
    warnings = [
        {
            "ruleName": each.rule,
            "description": each.description,
            **({"url": each.url} if each.url else {}),
            "detail": each.detail,
            "location": location(each.span),
        }
        for each in found
    ]
    source = {"fileName": file, "language": "Dockerfile", "data": base64.b64encode(content).decode()}
    answer: dict[str, object] = {"warnings": warnings, "sources": [source]}
    if error:
        answer["buildError"] = {"message": error.message, **({"location": location(error.span)} if error.span else {})}
    return json.dumps(answer, indent=2) + "\n"


def location(span: Span) -> dict[str, object]:
    return {"ranges": [{"start": {"line": span.first}, "end": {"line": span.last}}]}
