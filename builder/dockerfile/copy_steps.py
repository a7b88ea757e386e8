"""COPY and ADD: which sources, to where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile import history, remote_source
from builder.dockerfile.expand import expand, expand_body
from builder.dockerfile.gitref import redacted
from builder.errors import DockerfileError
from builder.graph.ops import ContextOp, CopyOp, CopySource, InlineFile, MergeOp, ScratchOp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.dockerfile.instructions import Add, Copy, Heredoc
    from builder.dockerfile.state import StageState
    from builder.dockerfile.surroundings import Surroundings


def copy(state: StageState, item: Copy, around: Surroundings) -> StageState:
    words = _sources(state, item, around)
    for word in words:
        if remote_source.is_remote(word):
            raise DockerfileError(f"source can't be a URL for COPY: {word}", span=item.span, hint="use ADD")
    source = around.builder.add(ContextOp("")) if item.from_ is None else _from(item, item.from_, around)
    from_stage = item.from_ is not None and source != around.builder.add(ContextOp(""))
    sources = (CopySource(source, words),) if words else ()
    return _copied(state, item, around, sources, words, keep_owner=from_stage)


def add(state: StageState, item: Add, around: Surroundings) -> StageState:
    words = _sources(state, item, around)
    checksum = expand(item.checksum, state.scope, around.escape, item.span) if item.checksum else ""
    if (checksum or item.checksum == "") and len(words) + len(item.heredocs) > 1:
        raise DockerfileError("--checksum is for one source, and there are several", span=item.span)
    sources = [_add_source(word, item, checksum, around) for word in words]
    if not sources:
        remote_source.check_local(item)
    return _copied(state, item, around, _grouped(sources), tuple(map(redacted, words)))


def _add_source(word: str, item: Add, checksum: str, around: Surroundings) -> CopySource:
    if remote_source.is_remote(word):
        found = remote_source.of(word, item, checksum)
        source = around.fetched(found.op, redacted(word), item.span)
        return CopySource(source, (found.path,), found.unpack)
    remote_source.check_local(item)
    return CopySource(around.builder.add(ContextOp("")), (word,), item.unpack is not False)


def _grouped(sources: Iterable[CopySource]) -> tuple[CopySource, ...]:
    """Neighbours that are read the same way are one source."""
    done: list[CopySource] = []
    for source in sources:
        if done and (done[-1].op, done[-1].unpack) == (source.op, source.unpack):
            done[-1] = done[-1]._replace(paths=(*done[-1].paths, *source.paths))
        else:
            done.append(source)
    return tuple(done)


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
    sources: tuple[CopySource, ...],
    words: tuple[str, ...],
    *,
    keep_owner: bool = False,
) -> StageState:
    scope, escape, span = state.scope, around.escape, item.span
    dest = expand(item.dest, scope, escape, span)
    chown = expand(item.chown, scope, escape, span) if item.chown else None
    chmod = expand(item.chmod, scope, escape, span) if item.chmod else None
    files = tuple(_inline(heredoc, state, around, item) for heredoc in item.heredocs)
    # As the reference has it, --chmod takes the copy out of its own layer again.
    linked = item.link and not chmod
    parents = getattr(item, "parents", False)
    op = CopyOp(
        root=around.builder.add(ScratchOp()) if linked else state.root,
        sources=sources,
        files=files,
        dest=absolute(dest, state.workdir),
        chown=chown,
        chmod=chmod,
        exclude=item.exclude,
        keep_owner=keep_owner,
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
