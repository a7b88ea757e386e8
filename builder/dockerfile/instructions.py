"""The instructions of a Dockerfile, each one an immutable value.

Every instruction begins with `span` (where it stands) and `text` (its line as the author wrote it,
continuations joined, heredoc bodies left out). Fields marked *raw* keep quotes, escapes and
variables: the word expander (`words.py`) gives their value once the stage's environment is known.
Everything else is final.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.dockerfile.nodes import Directives, Node
    from builder.errors import Span


_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


class Heredoc(NamedTuple):
    """One `<<WORD` and its body (dockerfile-language 1.5). `body` is as written, last newline included."""

    name: str
    body: str
    expand: bool
    chomp: bool
    fd: int = 0

    @property
    def content(self) -> str:
        """The body, without its leading tabs when the word was `<<-WORD`."""
        if not self.chomp:
            return self.body
        return _LEADING_TABS.sub("", self.body)


class MountSpec(NamedTuple):
    """A `RUN --mount=` as written: canonical option names, *raw* values (None: no `=value`)."""

    text: str
    options: tuple[tuple[str, str | None], ...]


class Mount(NamedTuple):
    """A `RUN --mount=` with every option known and checked (`mounts.resolve`).

    A field is None when the option was not given and its default depends on more than the table of
    1.8 (the working directory, the number of earlier ssh mounts).
    """

    type: str
    target: str | None = None
    source: str | None = None
    from_: str | None = None
    id: str | None = None
    readonly: bool = False
    sharing: str | None = None
    size: int | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    required: bool = False
    env: str | None = None


class Device(NamedTuple):
    """A `RUN --device=`."""

    name: str
    required: bool


class From(NamedTuple):
    """`image` and `platform` are raw; `name` is lower case."""

    span: Span
    text: str
    image: str
    platform: str | None
    name: str | None


class Arg(NamedTuple):
    """Names with their raw default, None when there is none."""

    span: Span
    text: str
    items: tuple[tuple[str, str | None], ...]


class Env(NamedTuple):
    """Raw keys and raw values. `legacy`: written `ENV key value`."""

    span: Span
    text: str
    pairs: tuple[tuple[str, str], ...]
    legacy: bool


class Label(NamedTuple):
    """Raw keys and raw values. `legacy`: written `LABEL key value`."""

    span: Span
    text: str
    pairs: tuple[tuple[str, str], ...]
    legacy: bool


class Run(NamedTuple):
    """Shell form has argv=(command text,), which is the shell's to expand.

    `lone_heredoc`: the command is one heredoc word and nothing else, so that its body is the script.
    """

    span: Span
    text: str
    mounts: tuple[MountSpec, ...]
    network: str
    security: str
    devices: tuple[Device, ...]
    exec_form: bool
    argv: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    lone_heredoc: bool

    @property
    def script(self) -> str:
        """What the shell is given: shell form only (1.5)."""
        if self.lone_heredoc:
            return self.heredocs[0].content
        return self.argv[0] + "".join(f"\n{doc.body}{doc.name}" for doc in self.heredocs)


class Copy(NamedTuple):
    """Sources, dest, chown and chmod are raw; excludes and `from_` are not."""

    span: Span
    text: str
    sources: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    dest: str
    from_: str | None
    chown: str | None
    chmod: str | None
    link: bool
    parents: bool
    exclude: tuple[str, ...]


class Add(NamedTuple):
    """Sources, dest, chown, chmod and checksum are raw. `unpack` is None when not said."""

    span: Span
    text: str
    sources: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    dest: str
    chown: str | None
    chmod: str | None
    link: bool
    exclude: tuple[str, ...]
    checksum: str | None
    keep_git_dir: bool | None
    unpack: bool | None


class Cmd(NamedTuple):
    """Shell form has argv=(command text,). An empty exec form clears the inherited command."""

    span: Span
    text: str
    exec_form: bool
    argv: tuple[str, ...]


class Entrypoint(NamedTuple):
    """Shell form has argv=(command text,). An empty exec form clears the inherited entry point."""

    span: Span
    text: str
    exec_form: bool
    argv: tuple[str, ...]


class Workdir(NamedTuple):
    """The path is raw."""

    span: Span
    text: str
    path: str


class User(NamedTuple):
    """The user is raw."""

    span: Span
    text: str
    user: str


class Expose(NamedTuple):
    """The words are raw, and each may expand to several ports."""

    span: Span
    text: str
    words: tuple[str, ...]


class Volume(NamedTuple):
    """The paths are raw."""

    span: Span
    text: str
    paths: tuple[str, ...]


class StopSignal(NamedTuple):
    """The signal is raw."""

    span: Span
    text: str
    signal: str


class Shell(NamedTuple):
    span: Span
    text: str
    argv: tuple[str, ...]


class Healthcheck(NamedTuple):
    """`disabled` is NONE, without argv. Times are nanoseconds; what was not said is 0 (1.10)."""

    span: Span
    text: str
    disabled: bool
    exec_form: bool
    argv: tuple[str, ...]
    interval: int
    timeout: int
    start_period: int
    start_interval: int
    retries: int


class Onbuild(NamedTuple):
    """`trigger` is the instruction for the child, verbatim, heredoc bodies appended (1.10)."""

    span: Span
    text: str
    trigger: str


class Maintainer(NamedTuple):
    span: Span
    text: str
    author: str


Instruction = (
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
    | Onbuild
    | Maintainer
)


class Dockerfile(NamedTuple):
    """A parsed file. `nodes` holds, index by index, what each instruction was made from."""

    file: str
    source: str
    directives: Directives
    instructions: tuple[Instruction, ...]
    nodes: tuple[Node, ...]

    def excerpt(self, span: Span) -> Iterable[tuple[int, str]]:
        """Numbered source lines of `span`, for a message."""
        lines = self.source.split("\n")
        return [(n, lines[n - 1].rstrip("\r")) for n in range(span.first, min(span.last, len(lines)) + 1)]
