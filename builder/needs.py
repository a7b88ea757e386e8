"""What plans need from elsewhere: images, downloads and repositories, each with the place that asks for it.

What the main context is, and where the Dockerfile comes from, is what was asked for, and no need of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.dockerfile.epoch_value import NAME
from builder.dockerfile.gitref import parse_gitref, ref_to_fetch
from builder.errors import BuildError, LockError, OfflineError
from builder.graph.ops import GitOp, HttpOp
from builder.oci.config import ImageConfig
from builder.oci.platform import parse_platform
from builder.oci.resolved import ResolvedImage
from builder.sources.inputs import is_elsewhere
from builder.sources.lock_file import path_for, read_given, read_inside, read_lock
from builder.sources.pins import GIT, IMAGE, NO_PINS, URL, LockPins, at_ref, spelled
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from builder.dockerfile.state import Plan
    from builder.errors import Span
    from builder.graph.graph import Graph
    from builder.graph.ops import Op
    from builder.oci.platform import Platform
    from builder.request import BuildRequest
    from builder.sources.absent import Absent
    from builder.sources.definition import Definition
    from builder.sources.fetcher import Fetcher
    from builder.sources.lock_file import LockFile
    from builder.sources.pins import Pins
    from builder.sources.resolver import Resolver


class Need(NamedTuple):
    """`name` is what a lock calls it, `words` what the fetcher takes; `place` is a line, or an option of the command.

    `said` is the checksum or commit that the Dockerfile asks for, "" for none.
    """

    kind: str
    name: str
    platform: str
    place: str
    span: Span | None = None
    words: tuple[str, ...] = ()
    said: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.kind, self.name, self.platform)))

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.name, self.platform

    def pinned(self, pins: Pins) -> str | None:
        match self.kind:
            case "image":
                return pins.image(self.name, parse_platform(self.platform))
            case "git":
                return pins.git(*self.words)
            case _:
                return pins.url(*self.words)


def stand_in(name: str, platform: Platform) -> ResolvedImage:
    """In the place of an image that may not be had: with it the rest of a file can be read for what else may not."""
    config = ImageConfig(os=platform.os, architecture=platform.architecture, variant=platform.variant)
    return ResolvedImage(name, "", config, ())


def _image(resolver: Resolver, name: str, platform: Platform, span: Span | None) -> Need | None:
    """None for a layout on this machine, and for a name that is none: the resolver says why."""
    try:
        reference = resolver.reference(name)
    except BuildError:
        return None
    return Need(IMAGE, str(reference), str(platform.normal()), str(span), span) if reference else None


def of_plan(plan: Plan) -> Iterator[Need]:
    """What is downloaded for a plan. Images are known to who has resolved them."""
    for digest, op in plan.graph.ops.items():
        yield from _of_op(op, plan.graph.notes[digest].span if digest in plan.graph.notes else None)
    if plan.epoch.source:
        yield from _of_op(plan.epoch.source, plan.epoch.span)


def _of_op(op: Op, span: Span | None) -> Iterator[Need]:
    place = str(span) if span else "SOURCE_DATE_EPOCH"
    if isinstance(op, HttpOp):
        yield Need(URL, spelled(op.url), "", place, span, (op.url,), op.checksum)
    elif isinstance(op, GitOp):
        words = (op.remote, op.ref)
        yield Need(GIT, spelled(at_ref(*words)), "", place, span, words, op.checksum)


def look_for_downloads(graph: Graph, plans: Iterable[Plan], fetcher: Fetcher, absent: Absent) -> None:
    """Of a build that may not fetch: tell `absent` what it would. Other faults are told where the build meets them."""
    wanted = [(op, note.span) for digest, op in graph.ops.items() if (note := graph.notes.get(digest))]
    wanted += [(plan.epoch.source, plan.epoch.span) for plan in plans if plan.epoch.source]
    for op, span in wanted:
        try:
            if isinstance(op, HttpOp):
                fetcher.http(op.url, op.checksum)
            elif isinstance(op, GitOp):
                fetcher.git(*op)
        except OfflineError as error:
            absent.add(error, span, "" if span else NAME)
        except BuildError:
            pass


def of_contexts(directories: Mapping[str, str]) -> Iterator[Need]:
    """The addresses that --build-context gives."""
    for name, value in directories.items():
        if is_elsewhere(value):
            place = f"--build-context {name}"
            found = parse_gitref(value)
            if found is None:
                yield Need(URL, spelled(value), "", place, None, (value,))
            else:
                words = (found.remote, ref_to_fetch(found, found.checksum or ""))
                yield Need(GIT, spelled(at_ref(*words)), "", place, None, words, found.checksum or "")


class Needs:
    """The needs of one build, collected while it is planned and held against its lock.

    `lock` is the lock that is followed, None where there is none; `pins` is what it says, or what was given instead.
    """

    def __init__(self, request: BuildRequest, pins: Pins | None = None) -> None:
        self._request = request
        self._given = pins is not None
        self._all: dict[tuple[str, str, str], Need] = {}
        self._images: dict[tuple[str, Platform], Need | None] = {}
        self.pins: Pins = pins or NO_PINS
        self.lock: LockFile | None = None

    def follow(self, definition: Definition, root: str | None) -> Pins:
        """Find the lock of the Dockerfile, which is below `root` in a context that came from elsewhere."""
        if not self._given:
            self.lock = _lock_of(self._request, definition.file, root)
            self.pins = LockPins(self.lock.lock, self.lock.file) if self.lock else NO_PINS
        return self.pins

    def add(self, needs: Iterable[Need]) -> None:
        """The first place of each counts, unless only another one says what it has to be."""
        for need in needs:
            if not self._all.setdefault(need.key, need).said:
                self._all[need.key] = self._all[need.key]._replace(said=need.said)

    def __iter__(self) -> Iterator[Need]:
        return iter(self._all.values())

    def resolve(self, resolver: Resolver, name: str, platform: Platform, span: Span) -> ResolvedImage:
        """As the resolver does. With --locked an image that is not locked is an empty one: `refuse` tells of all."""
        need = self._image(resolver, name, platform, span)
        return stand_in(name, platform) if need and self._refused(need) else resolver.resolve(name, platform, span)

    def allows(self, resolver: Resolver, name: str, platform: Platform) -> bool:
        """Whether an image may be looked up."""
        need = _image(resolver, name, platform, None)
        return need is None or not self._refused(need)

    def _image(self, resolver: Resolver, name: str, platform: Platform, span: Span) -> Need | None:
        """Looked up once: it takes a look at the store."""
        key = (name, platform)
        if key not in self._images:
            self._images[key] = _image(resolver, name, platform, span)
            self.add(filter(None, [self._images[key]]))
        return self._images[key]

    def _refused(self, need: Need) -> bool:
        return self._request.locked and need.pinned(self.pins) is None

    @property
    def unlocked(self) -> list[Need]:
        """What the lock does not know; nothing where there is no lock."""
        return [need for need in self if need.pinned(self.pins) is None] if self.lock else []

    def refuse(self) -> None:
        """Raise LockError, with --locked, for all that is not locked."""
        if not self._request.locked or not self.lock or not (found := self.unlocked):
            return
        count = f"{len(found)} sources are" if len(found) > 1 else "a source is"
        raise LockError(
            "\n".join([f"--locked: {count} not in {self.lock.file}", *(f"{need.place}: {need}" for need in found)]),
            span=next((need.span for need in found if need.span), None),
            hint="rbuild lock adds what is missing",
        )


def _lock_of(request: BuildRequest, dockerfile: str, root: str | None) -> LockFile | None:
    """The lock that a build has to follow: the one named, else what lies beside the Dockerfile."""
    if request.lock:
        return read_given(request.lock)
    path = path_for(request.context, request.dockerfile, request.lock)
    found = read_lock(path) if path else None
    if found is None and root and request.lock is None:
        found = read_inside(root, dockerfile)
    if found is None and request.locked:
        where = os.path.normpath(path) if path else "none lies beside this Dockerfile"
        raise LockError(f"--locked: there is no lock file ({where})", hint="rbuild lock writes it")
    return found
