"""The syntax tree: a Dockerfile is a sequence of instructions, each a frozen value.

Every instruction starts with its `span` and its `text`: one normalised line of the original, without
heredoc bodies, for display. Values that are expanded later stay raw: quotes and escapes are in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from builder.dockerfile.directives import Directive
    from builder.dockerfile.heredoc import Heredoc
    from builder.dockerfile.mounts import Mount
    from builder.errors import Span


class From(NamedTuple):
    span: Span
    text: str
    image: str
    platform: str | None = None
    name: str | None = None


class Arg(NamedTuple):
    span: Span
    text: str
    items: tuple[tuple[str, str | None], ...]


class Env(NamedTuple):
    """`legacy` is the form without `=`: one key, and the rest of the line as its value."""

    span: Span
    text: str
    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False


class Label(NamedTuple):
    span: Span
    text: str
    pairs: tuple[tuple[str, str], ...]
    legacy: bool = False


class Run(NamedTuple):
    """In shell form `argv` is one item, the command text. `script` is the heredoc that is the whole command."""

    span: Span
    text: str
    mounts: tuple[Mount, ...]
    network: str | None
    security: str | None
    devices: tuple[str, ...]
    exec_form: bool
    argv: tuple[str, ...]
    heredocs: tuple[Heredoc, ...] = ()
    script: Heredoc | None = None


class Copy(NamedTuple):
    span: Span
    text: str
    sources: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    dest: str
    from_: str | None = None
    chown: str | None = None
    chmod: str | None = None
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


class Add(NamedTuple):
    """`unpack` is None where the flag is not given: then the kind of source decides."""

    span: Span
    text: str
    sources: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    dest: str
    chown: str | None = None
    chmod: str | None = None
    link: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str | None = None
    keep_git_dir: bool = False
    unpack: bool | None = None


class Cmd(NamedTuple):
    span: Span
    text: str
    exec_form: bool
    argv: tuple[str, ...]


class Entrypoint(NamedTuple):
    span: Span
    text: str
    exec_form: bool
    argv: tuple[str, ...]


class Workdir(NamedTuple):
    span: Span
    text: str
    path: str


class User(NamedTuple):
    span: Span
    text: str
    user: str


class Expose(NamedTuple):
    span: Span
    text: str
    words: tuple[str, ...]


class Volume(NamedTuple):
    span: Span
    text: str
    paths: tuple[str, ...]


class StopSignal(NamedTuple):
    span: Span
    text: str
    signal: str


class Shell(NamedTuple):
    span: Span
    text: str
    argv: tuple[str, ...]


class Healthcheck(NamedTuple):
    """`test` is ("NONE",), ("CMD", …) or ("CMD-SHELL", text); the options are as written."""

    span: Span
    text: str
    test: tuple[str, ...]
    interval: str | None = None
    timeout: str | None = None
    start_period: str | None = None
    start_interval: str | None = None
    retries: str | None = None


class Maintainer(NamedTuple):
    span: Span
    text: str
    name: str


class Onbuild(NamedTuple):
    """`trigger` is the instruction to come, verbatim, with its heredoc bodies appended."""

    span: Span
    text: str
    trigger: str


Instruction: TypeAlias = (
    From
    | Arg
    | Env
    | Label
    | Run
    | Copy
    | Add
    | Cmd
    | Entrypoint
    | Workdir
    | User
    | Expose
    | Volume
    | StopSignal
    | Shell
    | Healthcheck
    | Maintainer
    | Onbuild
)


class Warning(NamedTuple):
    """Something that parses, but should not be written: the name of the check, and what it saw."""

    span: Span
    rule: str
    message: str


class Dockerfile(NamedTuple):
    """`source` is the decoded text, for excerpts; `escape` the character that the escape directive chose."""

    file: str
    source: str
    escape: str
    directives: tuple[Directive, ...]
    instructions: tuple[Instruction, ...]
    warnings: tuple[Warning, ...] = ()
