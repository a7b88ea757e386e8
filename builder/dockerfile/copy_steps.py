"""COPY and ADD: which sources, to where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile import history, remote_source
from builder.dockerfile.expand import expand, expand_body
from builder.dockerfile.gitref import redacted
from builder.errors import DockerfileError, NotSupported
from builder.graph.ops import ContextOp, CopyOp, InlineFile

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Add, Copy, Heredoc
    from builder.dockerfile.state import StageState
    from builder.dockerfile.surroundings import Surroundings


def copy(state: StageState, item: Copy, around: Surroundings) -> StageState:
    _refuse("COPY", item, [("--link", item.link), ("--parents", item.parents)])
    words = _sources(state, item, around)
    for word in words:
        if remote_source.is_remote(word):
            raise DockerfileError(f"source can't be a URL for COPY: {word}", span=item.span, hint="use ADD")
    source = around.builder.add(ContextOp("")) if item.from_ is None else _from(item, item.from_, around)
    return _copied(state, item, around, source=source, words=words, unpack=False)


def add(state: StageState, item: Add, around: Surroundings) -> StageState:
    _refuse(
        "ADD",
        item,
        [
            ("--link", item.link),
        ],
    )
    words = _sources(state, item, around)
    remote = [word for word in words if remote_source.is_remote(word)]
    if remote:
        return _add_remote(state, item, around, words)
    remote_source.check_local(item)
    source = around.builder.add(ContextOp(""))
    return _copied(state, item, around, source=source, words=words, unpack=item.unpack is not False)


def _add_remote(state: StageState, item: Add, around: Surroundings, words: tuple[str, ...]) -> StageState:
    if len(words) > 1 or item.heredocs:
        raise NotSupported("ADD of a remote source together with others is not supported yet", span=item.span)
    checksum = expand(item.checksum, state.scope, around.escape, item.span) if item.checksum else ""
    found = remote_source.of(words[0], item, checksum)
    source = around.fetched(found.op, redacted(words[0]), item.span)
    shown = (redacted(words[0]),)
    return _copied(state, item, around, source=source, words=(found.path,), unpack=found.unpack, shown=shown)


def _refuse(name: str, item: Copy | Add, flags: list[tuple[str, bool | None]]) -> None:
    for flag, used in flags:
        if used:
            raise NotSupported(f"{name} {flag} is not supported yet", span=item.span)


def _sources(state: StageState, item: Copy | Add, around: Surroundings) -> tuple[str, ...]:
    return tuple(expand(word, state.scope, around.escape, item.span) for word in item.sources)


def _from(item: Copy, reference: str, around: Surroundings) -> str:
    """The op that --from names: a build context, a stage by name or number, or an image."""
    if reference in around.contexts:
        return around.builder.add(ContextOp(reference))
    stage = around.stages.named(reference, item.span)
    if stage is not None:
        return around.state_of(stage).root
    return around.image_root(reference, item.span)


def _copied(
    state: StageState,
    item: Copy | Add,
    around: Surroundings,
    *,
    source: str,
    words: tuple[str, ...],
    unpack: bool,
    shown: tuple[str, ...] | None = None,
) -> StageState:
    scope, escape, span = state.scope, around.escape, item.span
    dest = expand(item.dest, scope, escape, span)
    chown = expand(item.chown, scope, escape, span) if item.chown else None
    chmod = expand(item.chmod, scope, escape, span) if item.chmod else None
    files = tuple(_inline(heredoc, state, around, item) for heredoc in item.heredocs)
    from_stage = getattr(item, "from_", None) is not None and source != around.builder.add(ContextOp(""))
    op = CopyOp(
        root=state.root,
        source=source if words else "",
        paths=words,
        files=files,
        dest=absolute(dest, state.workdir),
        chown=chown,
        chmod=chmod,
        exclude=item.exclude,
        unpack=unpack,
        keep_owner=from_stage,
    )
    name = type(item).__name__.upper()
    named = [*(words if shown is None else shown), *(f"<<{file.name}" for file in files), dest]
    told = history.copy(name, [("chown", chown), ("chmod", chmod)], named)
    root = around.builder.add(op, around.note(item.text, span))
    return state.grown(root, history.step(told))


def absolute(dest: str, workdir: str) -> str:
    """`dest` from the root; ends in a slash exactly when it has to be a directory."""
    is_dir = dest in ("", ".", "..") or dest.endswith(("/", "/.", "/.."))
    path = dest if dest.startswith("/") else f"{workdir}/{dest}"
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/".join(["", *parts, ""] if is_dir or not parts else ["", *parts])


def _inline(heredoc: Heredoc, state: StageState, around: Surroundings, item: Copy | Add) -> InlineFile:
    content = heredoc.content
    if heredoc.expand:
        content = expand_body(content, state.scope, item.span)
    return InlineFile(heredoc.name, content)
