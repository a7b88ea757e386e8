"""COPY and ADD: which sources, to where."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile import history
from builder.dockerfile.expand import expand, expand_body
from builder.errors import DockerfileError, NotSupported
from builder.graph.ops import ContextOp, CopyOp, CopySource, InlineFile, MergeOp, ScratchOp

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Add, Copy, Heredoc
    from builder.dockerfile.state import StageState
    from builder.dockerfile.surroundings import Surroundings

_URL = re.compile(r"https?://", re.IGNORECASE)
_GIT = re.compile(r"git://|ssh://|git@[\w.-]+:|https?://.*\.git(?:[#?].*)?$", re.IGNORECASE)

_UNPACK = {None: "auto", True: "always", False: "never"}


def copy(state: StageState, item: Copy, around: Surroundings) -> StageState:
    words = _sources(state, item, around)
    for word in words:
        if _URL.match(word) or _GIT.match(word):
            raise DockerfileError(f"source can't be a URL for COPY: {word}", span=item.span, hint="use ADD")
    source = around.builder.add(ContextOp("")) if item.from_ is None else _from(item, item.from_, around)
    return _copied(state, item, around, source=source, words=words, unpack="never")


def add(state: StageState, item: Add, around: Surroundings) -> StageState:
    _refuse(
        "ADD",
        item,
        [
            ("--checksum", item.checksum is not None),
            ("--keep-git-dir", item.keep_git_dir),
        ],
    )
    words = _sources(state, item, around)
    for word in words:
        if _GIT.match(word) or _URL.match(word):
            raise NotSupported(f"ADD of a remote source is not supported yet: {word}", span=item.span)
    source = around.builder.add(ContextOp(""))
    return _copied(state, item, around, source=source, words=words, unpack=_UNPACK[item.unpack])


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
    state: StageState, item: Copy | Add, around: Surroundings, *, source: str, words: tuple[str, ...], unpack: str
) -> StageState:
    scope, escape, span = state.scope, around.escape, item.span
    dest = expand(item.dest, scope, escape, span)
    chown = expand(item.chown, scope, escape, span) if item.chown else None
    chmod = expand(item.chmod, scope, escape, span) if item.chmod else None
    files = tuple(_inline(heredoc, state, around, item) for heredoc in item.heredocs)
    from_stage = getattr(item, "from_", None) is not None and source != around.builder.add(ContextOp(""))
    # As the reference has it, --chmod takes the copy out of its own layer again.
    linked = item.link and not chmod
    parents = getattr(item, "parents", False)
    op = CopyOp(
        root=around.builder.add(ScratchOp()) if linked else state.root,
        sources=(CopySource(source, words, unpack),) if words else (),
        files=files,
        dest=absolute(dest, state.workdir),
        chown=chown,
        chmod=chmod,
        exclude=item.exclude,
        keep_owner=from_stage,
        parents=parents,
    )
    name = type(item).__name__.upper()
    shown = [*words, *(f"<<{file.name}" for file in files), dest]
    told = history.copy(name + (" --parents" if parents else ""), [("chown", chown), ("chmod", chmod)], shown)
    layer = around.builder.add(op, around.note(item.text, span))
    root = around.builder.add(MergeOp(state.root, layer)) if linked else layer
    return state.grown(root, history.step(told), layer)


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
