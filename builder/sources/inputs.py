"""What a build reads: its Dockerfile and its contexts, wherever they are (dockerfile-language 1.1, 1.11).

    directory                      read in place, through its ignore file
    - or FILE.tar, http(s)://…     a tar, unpacked below the store's tmp; or a Dockerfile alone, by content
    git address                    a checkout in the store

Only directories have ignore files. Owners are 0:0 in all of them.
"""

from __future__ import annotations

import io
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from builder import _native
from builder.dockerfile.gitref import parse_gitref, redacted, ref_to_fetch
from builder.dockerfile.ignore import Ignore
from builder.errors import BuildError, NotFound, OfflineError, UsageError
from builder.layers.tree import DIFF
from builder.sources.context import ContextTree, open_context
from builder.sources.definition import STDIN, Definition, read_dockerfile, read_ignore
from builder.sources.lock_file import beside
from builder.sources.resolver import parse_contexts
from builder.store.paths import store_errors
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from builder.sources.absent import Absent
    from builder.sources.fetcher import Fetcher
    from builder.sources.resolver import NamedContexts
    from builder.store.store import Store

_HTTP = re.compile(r"https?://")
_LARGEST_DOCKERFILE = 16 << 20
_ENOUGH = 1 << 16


class Inputs(NamedTuple):
    """`contexts` by name, "" the main one; `times` when those that say so were last changed, in seconds."""

    definition: Definition
    contexts: dict[str, ContextTree]
    named: NamedContexts
    times: dict[str, int]

    def close(self) -> None:
        for context in self.contexts.values():
            context.close()


class _Tree(NamedTuple):
    """A context that is not read in place: `root` its files, or `text` the Dockerfile that came in its stead."""

    root: str
    text: bytes | None
    time: int | None


def is_elsewhere(value: str) -> bool:
    """Whether a context's name is an address, and not a path."""
    if _HTTP.match(value):
        return True
    return parse_gitref(value.partition("?")[0].partition("#")[0]) is not None and not os.path.exists(value)


def open_inputs(
    context: str,
    dockerfile: str | None,
    build_contexts: Sequence[tuple[str, str]],
    store: Store,
    fetcher: Fetcher,
    *,
    absent: Absent,
    keep_git_dir: bool = False,
    stdin: BinaryIO | None = None,
    lock: str | None = None,
    bundles: Sequence[str] = (),
    told: Callable[[Definition, str | None], None] = lambda definition, root: None,
) -> Inputs:
    """Raises BuildError. Close the result: it holds descriptors.

    `told` hears of the Dockerfile before anything else is fetched, and of the main context's root where that came
    from elsewhere with the Dockerfile in it. No context shows `bundles` and the lock file: `lock`, or that of the
    Dockerfile.
    What --offline forbids to fetch is added to `absent`; without a Dockerfile that is the end, and raised.
    """
    opening = _Opening(store, fetcher, keep_git_dir, stdin, [*bundles, *([lock] if lock else [])])
    named = parse_contexts(build_contexts)
    contexts: dict[str, ContextTree] = {}
    definition = None
    try:
        with _noted(absent, "the build context and its Dockerfile"):
            definition = opening.main(context, dockerfile, contexts)
            told(definition, opening.root)
        for name, value in named.directories.items():
            with _noted(absent, f"--build-context {name}"):
                opening.add(name, value, contexts)
        if definition is None:
            raise absent.error()
    except BaseException:
        Inputs(Definition("", b""), contexts, named, {}).close()
        raise
    return Inputs(definition, contexts, named, opening.times)


@contextmanager
def _noted(absent: Absent, option: str) -> Iterator[None]:
    try:
        yield
    except OfflineError as error:
        absent.add(error, None, option)


class _Opening:
    def __init__(
        self, store: Store, fetcher: Fetcher, keep_git_dir: bool, stdin: BinaryIO | None, ours: list[str]
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._keep_git_dir = keep_git_dir
        self._stdin = stdin
        self._ours = ours
        self.times: dict[str, int] = {}
        self.root: str | None = None

    def main(self, context: str, dockerfile: str | None, contexts: dict[str, ContextTree]) -> Definition:
        if context == "-" and dockerfile == "-":
            raise UsageError("standard input cannot be both the context and the Dockerfile")
        if os.path.isdir(context):
            definition = self._outside(dockerfile) or read_dockerfile(context, dockerfile)
            self._ours.append(beside(definition.file))
            contexts[""] = open_context(context, self._less_ours(context, read_ignore(context, definition.file)))
            return definition
        tree = self._tree(context)
        if tree.time is not None:
            self.times[""] = tree.time
        contexts[""] = ContextTree(tree.root, Ignore(()))
        outside = self._outside(dockerfile)
        if tree.text is None:
            return outside or self._local(dockerfile) or self._inside(tree.root, dockerfile, contexts)
        if dockerfile is not None:
            raise UsageError(f"{_shown(context)} is a Dockerfile, and -f {dockerfile} names another one")
        return Definition(STDIN if context == "-" else redacted(context), tree.text)

    def _inside(self, root: str, dockerfile: str | None, contexts: dict[str, ContextTree]) -> Definition:
        definition = read_inside(root, dockerfile)
        self.root = root
        contexts[""].ignore = Ignore().unless_included(beside(definition.file))
        return definition

    def add(self, name: str, value: str, contexts: dict[str, ContextTree]) -> None:
        if os.path.isdir(value):
            contexts[name] = open_context(value, self._less_ours(value, read_ignore(value)), f"build context {name}")
            return
        tree = self._tree(value, f"build context {name}")
        if tree.text is not None:
            raise BuildError(
                f"build context {name}: {_shown(value)} is no archive", hint="a tar, compressed or not, is"
            )
        if tree.time is not None:
            self.times[name] = tree.time
        contexts[name] = ContextTree(tree.root, Ignore(()))

    def _less_ours(self, directory: str, ignore: Ignore) -> Ignore:
        """Without what is ours and not the user's, where it lies in the context.

        The store, as it may in a CI job: it changes while it is used. And the lock and the bundles: to have one
        changes no image.
        """
        for ours in self._ours:
            if os.path.lexists(ours) and (path := _below(directory, ours)):
                ignore = ignore.unless_included(path)
        path = _below(directory, os.path.realpath(self._store.root))
        return ignore.without(path) if path else ignore

    def _outside(self, dockerfile: str | None) -> Definition | None:
        """A Dockerfile on standard input or at an address."""
        if dockerfile == "-":
            return Definition(STDIN, self._input().read(_LARGEST_DOCKERFILE))
        if dockerfile and _HTTP.match(dockerfile):
            found = self._fetcher.http(dockerfile)
            with open(f"{found.tree}/diff/{found.name}", "rb") as file:
                return Definition(redacted(dockerfile), file.read(_LARGEST_DOCKERFILE))
        return None

    def _local(self, dockerfile: str | None) -> Definition | None:
        """With a context from elsewhere an absolute path is one of this machine, others are inside."""
        return read_dockerfile(".", dockerfile) if dockerfile and os.path.isabs(dockerfile) else None

    def _input(self) -> BinaryIO:
        return self._stdin or open(0, "rb", closefd=False)

    def _tree(self, value: str, what: str = "build context") -> _Tree:
        if value == "-":
            return self._archive(self._input(), None)
        if is_elsewhere(value):
            return self._git(value) if parse_gitref(value) is not None else self._http(value)
        try:
            with open(value, "rb") as file:
                found = self._archive(file, None)
        except OSError as error:
            raise BuildError(
                f"{what} {value!r}: {error.strerror}", hint="name a directory, an archive or an address"
            ) from error
        if found.text is not None:
            raise UsageError(
                f"{what} {value} is neither a directory nor an archive", hint=f"-f {value} names a Dockerfile"
            )
        return found

    def _git(self, value: str) -> _Tree:
        found = parse_gitref(value)
        assert found is not None
        # As a context, the build argument stands where the address says nothing.
        keep = found.keep_git_dir if found.keep_git_dir is not None else self._keep_git_dir
        checkout = self._fetcher.git(
            found.remote,
            ref_to_fetch(found, found.checksum or ""),
            found.subdir or "",
            found.checksum or "",
            keep,
            found.submodules is not False,
            found.mtime == "commit",
        )
        return _Tree(f"{checkout.tree}/diff", None, checkout.time)

    def _http(self, value: str) -> _Tree:
        found = self._fetcher.http(value)
        with open(f"{found.tree}/diff/{found.name}", "rb") as file:
            return self._archive(file, found.time)

    def _archive(self, stream: BinaryIO, time: int | None) -> _Tree:
        """A tar by content, in any compression, or else a text."""
        from builder.layers.codec import Plain
        from builder.layers.tarstart import starts_tar
        from builder.layers.unpack import unpack
        from builder.sources.restored import restore_modes

        start = _start(stream)
        if not starts_tar(start, io.BytesIO()):
            return self._text(start, stream, time)
        place = self._store.lease.staging("context")
        unpack(Plain(stream, start), place, owners="recorded", whiteouts="literal")
        newest = restore_modes(f"{place}/{DIFF}")
        return _Tree(f"{place}/{DIFF}", None, newest if time is None else time)

    def _text(self, start: bytes, stream: BinaryIO, time: int | None) -> _Tree:
        """A Dockerfile alone: its context is empty."""
        empty = self._store.lease.staging("context")
        with store_errors("make an empty build context"):
            os.mkdir(empty)
        return _Tree(empty, start + stream.read(_LARGEST_DOCKERFILE), time)


def _below(directory: str, path: str) -> str | None:
    """The path relative to a directory that it lies in."""
    place = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    found = os.path.relpath(place, os.path.realpath(directory))
    return None if found.split("/")[0] in (".", "..") else found


def _start(stream: BinaryIO) -> bytes:
    start = b""
    while len(start) < _ENOUGH and (more := stream.read(_ENOUGH - len(start))):
        start += more
    return start


def read_inside(root: str, path: str | None) -> Definition:
    """The Dockerfile of a context that came from elsewhere: links in it lead nowhere outside."""
    names = [path] if path else ["Dockerfile", "dockerfile"]
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            try:
                opened = _native.open_in_root(descriptor, os.fsencode(name), os.O_RDONLY | os.O_NONBLOCK)
            except (FileNotFoundError, NotADirectoryError):
                continue
            with open(opened, "rb") as file:
                return Definition(os.path.normpath(name), file.read(_LARGEST_DOCKERFILE))
    except OSError as error:
        raise BuildError(f"cannot read {names[0]} of the build context: {error.strerror}") from error
    finally:
        os.close(descriptor)
    raise NotFound(f"there is no {names[0]} in the build context", hint="-f names it, from the root of the context")


def _shown(value: str) -> str:
    return "standard input" if value == "-" else redacted(value)
