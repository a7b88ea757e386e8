"""What the sources of a COPY or ADD name in a tree: wildcards matched, links followed, directories listed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile.globs import match
from builder.dockerfile.ignore import Ignore
from builder.errors import BuildError
from builder.executor.members import Members, all_below, candidates, matching
from builder.executor.traps import ignored
from builder.snapshots.filetree import join, resolve
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.graph.ops import CopyOp
    from builder.snapshots.filetree import Entry, FileTree
    from builder.snapshots.view import View
    from builder.sources.context import ContextTree

_WILD = re.compile(r"[*?\[\\]")


class Source(NamedTuple):
    """One thing to copy: a file under its `name`, or the content of a directory.

    `whole`: all that is below, which nobody has listed.
    """

    name: str
    entry: Entry
    members: Members
    whole: bool = False


def select(
    tree: FileTree,
    paths: tuple[str, ...],
    exclude: tuple[str, ...],
    missing: Callable[[str], BuildError],
    parents: bool = False,
    trap: Callable[[str, str], None] = ignored,
    listed: bool = True,
) -> list[Source]:
    """The sources in the order written, matches of a wildcard in name order.

    Without `listed` a directory of which nothing is excluded comes as a `whole` one.
    A wildcard may match nothing; a plain path that names nothing raises `missing(path)`.
    `exclude` holds ignore patterns relative to each source directory; a source that is itself a file is
    never excluded. `trap` is told of both.
    """
    ignore = Ignore(exclude) if exclude else None
    if parents:
        return [source for path in paths for source in _select_parents(tree, path, ignore, missing, trap)]
    return [source for path in paths for source in _select_one(tree, path, ignore, missing, trap, listed)]


def _select_one(
    tree: FileTree,
    path: str,
    ignore: Ignore | None,
    missing: Callable[[str], BuildError],
    trap: Callable[[str, str], None],
    listed: bool,
) -> Iterator[Source]:
    found = _expand(tree, _clamp(path)) if _WILD.search(path) else [_clamp(path)]
    if not found:
        trap("WildcardMatchesNothing", f"{path} matches nothing")
    for one in found:
        source = _source(tree, one, ignore, missing, listed or ignore is not None)
        if ignore and not source.entry.is_dir and ignore.excluded(source.name):
            trap("ExcludeOfNamedFile", f"/{one} is copied although --exclude matches it")
        yield source


def _clamp(path: str) -> str:
    """`path` cleaned, with `..` that would climb above the root dropped."""
    done: list[str] = []
    for part in path.split("/"):
        if part == "..":
            done = done[:-1]
        elif part not in ("", "."):
            done.append(part)
    return "/".join(done)


def _expand(tree: FileTree, pattern: str) -> list[str]:
    """Paths that match, sorted. `*` stays within a component; links on the way are not followed."""
    parts = pattern.split("/")
    fixed = next(number for number, part in enumerate(parts) if _WILD.search(part))
    found = [resolve(tree, "/".join(parts[:fixed]))]
    for part in parts[fixed:]:
        found = [path for directory in found for path in _matches(tree, directory, part)]
    return found


def _matches(tree: FileTree, directory: str, pattern: str) -> list[str]:
    """Paths in `directory`, which may be a link to one. A link that leads nowhere has nothing in it."""
    try:
        real = resolve(tree, directory)
    except BuildError:
        return []
    entry = tree.entry(real)
    if entry is None or not entry.is_dir:
        return []
    return [join(directory, found.name) for found in candidates(tree, real, [pattern]) if match(pattern, found.name)]


def _select_parents(
    tree: FileTree,
    path: str,
    ignore: Ignore | None,
    missing: Callable[[str], BuildError],
    trap: Callable[[str, str], None],
) -> Iterator[Source]:
    """--parents: what is behind the first `/./`, or all of the path, is kept below the destination."""
    pivot, found, kept = path.partition("/./")
    top, pattern = (_clamp(pivot), _clamp(kept)) if found else ("", _clamp(path))
    for base in _expand(tree, top) if _WILD.search(top) else [top]:
        real = resolve(tree, base)
        entry = tree.entry(real)
        if entry is None:
            raise missing(base)
        members = matching(tree, real, pattern, ignore)
        if not members and not _WILD.search(pattern) and not _there(tree, join(real, pattern)):
            raise missing(join(base, pattern))
        if not members and _WILD.search(pattern):
            trap("WildcardMatchesNothing", f"{path} matches nothing")
        yield Source("", entry, members)


def _there(tree: FileTree, path: str) -> bool:
    return tree.entry(path.rstrip("/")) is not None


def _source(
    tree: FileTree, path: str, ignore: Ignore | None, missing: Callable[[str], BuildError], listed: bool
) -> Source:
    real = resolve(tree, path)
    entry = tree.entry(real)
    if entry is None:
        raise missing(path)
    members = all_below(tree, real, ignore) if entry.is_dir and listed else Members("", ())
    return Source(path.rpartition("/")[2], entry, members, entry.is_dir and not listed)


def select_from_context(
    op: CopyOp, paths: tuple[str, ...], context: ContextTree, name: str, trap: Callable[[str, str], None]
) -> list[Source]:
    """The context files that `op` copies. A path that is missing or ignored is a BuildError that says which."""
    where = f"the build context {name!r}" if name else "the build context"

    def missing(path: str) -> BuildError:
        if context.ignored(path):
            hint = f"add a line !{path} after the line that excludes it"
            return BuildError(f'"/{path}" is excluded from {where} by its ignore file', hint=hint)
        return BuildError(f'"/{path}": not found in {where}', hint=f"paths are relative to {context.root}")

    return select(context, paths, op.exclude, missing, op.parents, trap)


def select_from_stage(op: CopyOp, paths: tuple[str, ...], view: View, trap: Callable[[str, str], None]) -> list[Source]:
    def missing(path: str) -> BuildError:
        return BuildError(f'"/{path}": not found in the stage or image that it is copied from')

    return select(view, paths, op.exclude, missing, op.parents, trap, listed=False)
