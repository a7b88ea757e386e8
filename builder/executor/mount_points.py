"""What the mounts of a RUN are made of, from its op to what the sandbox attaches."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.errors import BuildError, NotFound
from builder.executor import mount_sources
from builder.executor.mount_sources import TOP
from builder.graph.ops import ContextOp
from builder.sandbox.attachments import Attachment
from builder.snapshots import shared
from builder.snapshots.view import View
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

    from builder.executor.local import LocalExecutor
    from builder.executor.perform import Work
    from builder.executor.select import Source
    from builder.graph.ops import ExecOp, MountPoint
    from builder.snapshots.snapshot import Snapshot
    from builder.sources.context import ContextTree


class Mounted(NamedTuple):
    """What a step finds, in the order of mounting, and in its environment."""

    attachments: tuple[Attachment, ...]
    env: tuple[tuple[str, str], ...]
    shown: tuple[tuple[Source, ContextTree], ...] = ()  # what the step sees as it lies on this machine

    def verify(self) -> None:
        """Raise BuildError when what the step was shown has changed meanwhile."""
        for source, context in self.shown:
            mount_sources.verify(source, context)


def prepare(op: ExecOp, work: Work, executor: LocalExecutor, stack: ExitStack) -> Mounted:
    """Everything that has to be there until `stack` closes. Raises BuildError."""
    return _Preparation(op, work, executor, stack).mounted() if op.mounts else Mounted((), ())


def written(mounted: Mounted) -> list[str]:
    """The targets of bind mounts to which a step has written; places made for mounts inside them do not count."""
    return [item.target for item in mounted.attachments if item.upper and _is_written(item, mounted)]


def _is_written(item: Attachment, mounted: Mounted) -> bool:
    place = f"{item.upper}/{item.path}"
    if not os.path.isdir(place):
        return os.path.lexists(place)
    inside = {other.target.removeprefix(f"{item.target}/").partition("/")[0] for other in mounted.attachments}
    try:
        return bool(set(os.listdir(place)) - inside)
    except PermissionError:  # the step has closed it
        return True


class _Preparation:
    def __init__(self, op: ExecOp, work: Work, executor: LocalExecutor, stack: ExitStack) -> None:
        self._op = op
        self._work = work
        self._executor = executor
        self._settings = executor.settings
        self._owners = executor.settings.owners()
        self._stack = stack
        self._env: dict[str, str] = {}
        self._shown: list[tuple[Source, ContextTree]] = []

    def mounted(self) -> Mounted:
        """Outer mounts before those inside them; of two on one target the later is seen."""
        inputs = iter(self._work.inputs[1:])
        pairs = [(mount, next(inputs) if mount.source else None) for mount in self._op.mounts]
        caches = self._caches(pairs)
        made = [self._attach(number, *pair, caches) for number, pair in enumerate(pairs)]
        found = sorted((item for item in made if item), key=lambda item: item.target.count("/"))
        return Mounted(tuple(found), tuple(self._env.items()), tuple(self._shown))

    def _attach(
        self, number: int, mount: MountPoint, source: Snapshot | None, caches: dict[str, str]
    ) -> Attachment | None:
        room = f"{self._work.room}/mount{number}"
        match mount.kind:
            case "bind":
                assert source is not None
                return self._bind(mount, source, room)
            case "cache":
                path = caches[self._cache_name(mount, source)]
                return Attachment("directory", mount.target, True, path, readonly=mount.readonly)
            case "tmpfs":
                return Attachment("tmpfs", mount.target, True, size=mount.size, readonly=mount.readonly)
            case "secret":
                return self._secret(mount)
            case _:
                return self._agent(mount, room)

    def _secret(self, mount: MountPoint) -> Attachment | None:
        value = self._settings.secrets.get(mount.id)
        if value is None and mount.required:
            raise NotFound(f"secret {mount.id}: not found", hint=f"give it with --secret id={mount.id},src=FILE")
        if mount.env:
            self._env[mount.env] = _variable(mount, value or b"")
        if value is None or not mount.target:
            return None
        ids = (mount.uid, mount.gid) if self._owners == "real" else (0, 0)
        return Attachment(
            "file", mount.target, False, content=value, mode=mount.mode, uid=ids[0], gid=ids[1], readonly=True
        )

    def _agent(self, mount: MountPoint, room: str) -> Attachment | None:
        from builder.executor import agents

        many_ids = self._owners == "real"
        path = agents.forward(mount, self._settings.agents, room, self._stack, many_ids=many_ids)
        if path is None and mount.required:
            raise NotFound(f"ssh agent {mount.id}: not found", hint=f"give it with --ssh {mount.id}")
        self._env.setdefault("SSH_AUTH_SOCK", mount.target)
        return Attachment("socket", mount.target, False, path) if path else None

    # ---- what is read from contexts, stages and images ---------------------------------------------------

    def _bind(self, mount: MountPoint, source: Snapshot, room: str) -> Attachment:
        os.makedirs(room)
        as_is = self._as_is(mount)
        if as_is:
            return as_is
        empty = _made(f"{room}/empty")  # an overlay without an upper directory wants two lower ones
        lowers, path, is_dir = self._stacked(mount, source, room)
        attachment = Attachment("stack", mount.target, is_dir, path, (*lowers, empty), readonly=mount.readonly)
        if mount.readonly:
            return attachment
        return attachment._replace(upper=_made(f"{room}/upper"), work=_made(f"{room}/work"))

    def _as_is(self, mount: MountPoint) -> Attachment | None:
        """Of a build context where a copy would look the same, and the step cannot make it writable."""
        origin = self._executor.graph[mount.source]
        if not isinstance(origin, ContextOp) or not mount.readonly or self._op.security == "insecure":
            return None
        context = self._settings.contexts[origin.name]
        found = mount_sources.context_source(origin.name, mount.path, context)
        if not mount_sources.shows_as_is(found, context):
            return None
        self._shown.append((found, context))
        place, pinned = f"/{found.entry.path}", context.descriptor("")
        return Attachment("tree", mount.target, found.entry.is_dir, place, (context.root,), pinned, readonly=True)

    def _stacked(self, mount: MountPoint, source: Snapshot, room: str) -> tuple[Sequence[str], str, bool]:
        """The directories of an overlay, the path in it, and whether that is a directory."""
        origin = self._executor.graph[mount.source]
        if isinstance(origin, ContextOp):
            context = self._settings.contexts[origin.name]
            found = mount_sources.context_source(origin.name, mount.path, context)
            mount_sources.copy_context(found, context, f"{room}/tree", self._owners)
            return (f"{room}/tree/diff",), f"/{TOP}", found.entry.is_dir
        with View(source, self._owners) as view:
            entry = mount_sources.find(view, mount.path)
        return shared.lowers(source.trees, self._owners), mount.path, entry.is_dir

    # ---- caches -------------------------------------------------------------------------------------------

    def _caches(self, pairs: Sequence[tuple[MountPoint, Snapshot | None]]) -> dict[str, str]:
        """Directories by the names of their caches, locked in one order by all steps, each once a step."""
        from builder.executor.cache_mounts import Cache

        wanted: dict[str, Cache] = {}
        for number, (mount, source) in enumerate(pairs):
            if mount.kind == "cache":
                name = self._cache_name(mount, source)
                seed = _Seed(self, mount, source, f"{self._work.room}/seed{number}")
                wanted.setdefault(name, Cache(name, mount, seed.fill, self._renewed(name)))
        return {name: cache.take(self._stack, self._work.cancelled) for name, cache in sorted(wanted.items())}

    def _cache_name(self, mount: MountPoint, source: Snapshot | None) -> str:
        from builder.executor.cache_mounts import directory_of

        seed = [os.path.basename(tree) for tree in source.trees] if source else []
        origin = self._executor.graph[mount.source] if mount.source else None
        if isinstance(origin, ContextOp):
            seed = ["context", origin.name]
        return directory_of(self._executor.store.root, self._owners, mount, seed)

    def _renewed(self, name: str) -> str | None:
        fresh = self._settings.fresh(self._work.key)
        return f"{self._settings.room()}/renewed-{os.path.basename(name)}" if fresh else None

    def copy(self, mount: MountPoint, source: Snapshot, tree: str) -> None:
        """The seed of a cache, under TOP of a new tree."""
        origin = self._executor.graph[mount.source]
        if isinstance(origin, ContextOp):
            context = self._settings.contexts[origin.name]
            found = mount_sources.context_source(origin.name, mount.path, context)
            mount_sources.copy_context(found, context, tree, self._owners)
            return
        with View(source, self._owners) as view:
            found = mount_sources.select(view, mount.path, mount_sources.STAGE)
            mount_sources.copy_stage(found, view, tree, self._owners)

    def own(self, path: str, mount: MountPoint) -> None:
        if self._owners == "real":
            os.chown(path, mount.uid, mount.gid)
        os.chmod(path, mount.mode)


class _Seed:
    """Makes the directory of a new cache."""

    def __init__(self, preparation: _Preparation, mount: MountPoint, source: Snapshot | None, tree: str) -> None:
        self._preparation = preparation
        self._mount = mount
        self._source = source
        self._tree = tree

    def fill(self, path: str) -> None:
        if self._source is None:
            os.mkdir(path)
        else:
            self._preparation.copy(self._mount, self._source, self._tree)
            seed = f"{self._tree}/diff/{TOP}"
            if not os.path.isdir(seed):
                raise BuildError(f'"{self._mount.path}" is no directory', hint="a cache is seeded with a directory")
            os.rename(seed, path)
        self._preparation.own(path, self._mount)


def _variable(mount: MountPoint, value: bytes) -> str:
    if b"\0" in value:
        raise BuildError(f"secret {mount.id} cannot be the variable {mount.env}: it holds a NUL byte")
    return os.fsdecode(value)


def _made(path: str) -> str:
    os.mkdir(path, 0o755)
    return path
