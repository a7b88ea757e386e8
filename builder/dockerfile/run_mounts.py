"""RUN --mount: from what is written to the MountPoints of an op (dockerfile-language 1.8)."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from builder.dockerfile.expand import expand
from builder.dockerfile.mounts import resolve
from builder.errors import DockerfileError
from builder.graph.ops import ContextOp, MountPoint

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Mount, Run
    from builder.dockerfile.state import StageState
    from builder.dockerfile.surroundings import Surroundings

NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS"
SSH_TARGET = "/run/buildkit/ssh_agent"
_FIXED = ("/proc", "/sys", "/dev")


def mount_points(state: StageState, item: Run, around: Surroundings) -> tuple[MountPoint, ...]:
    """In the order written. Raises DockerfileError with the place of the instruction."""
    points: list[MountPoint] = []
    agents = 0
    for spec in item.mounts:
        try:
            mount = resolve(spec, lambda raw: expand(raw, state.scope, around.escape, item.span))
            points.append(_point(mount, state, item, around, agents))
        except DockerfileError as error:
            error.span = error.span or item.span
            raise
        agents += mount.type == "ssh"
    return tuple(points)


def _point(mount: Mount, state: StageState, item: Run, around: Surroundings, agents: int) -> MountPoint:
    _refuse_idle_options(mount)
    written = mount.target or (f"{SSH_TARGET}.{agents}" if mount.type == "ssh" else "")
    target = _target(written, state.workdir) if written else ""
    point = MountPoint(
        kind=mount.type,
        target=target,
        readonly=mount.readonly,
        size=mount.size or 0,
        mode=mount.mode or 0,
        uid=mount.uid or 0,
        gid=mount.gid or 0,
        required=mount.required,
        env=mount.env or "",
        sharing=mount.sharing or "",
    )
    if mount.type == "bind" or mount.from_:
        source = _source(mount.from_, item, around)
        point = point._replace(source=source, path=_clean(mount.source or ""))
    if mount.type == "cache":
        return point._replace(id=_cache_id(mount.id or target, around))
    return point._replace(id=mount.id or "")


def _refuse_idle_options(mount: Mount) -> None:
    """What the reference implementation takes and does nothing with."""
    if mount.type in ("tmpfs", "ssh") and (mount.from_ or mount.source):
        name = "from" if mount.from_ else "source"
        raise DockerfileError(f"{name}= means nothing to a mount of type {mount.type}", hint=f"leave {name}= out")
    if mount.type == "cache" and mount.source and not mount.from_:
        raise DockerfileError(
            "source= of a cache mount needs from=", hint="name the stage or image that seeds the cache"
        )


def _target(written: str, workdir: str) -> str:
    target = "/" + posixpath.normpath(posixpath.join(workdir, written)).strip("/")
    if target == "/" or target in _FIXED or target.startswith(("/proc/", "/sys/")):
        raise DockerfileError(f"invalid mount target {written!r}", hint="mount below another directory of the image")
    return target


def _source(reference: str | None, item: Run, around: Surroundings) -> str:
    """The op that from= names: a build context, a stage by name or number, or an image."""
    if reference is None or reference in around.contexts:
        return around.builder.add(ContextOp(reference or ""))
    stage = around.stages.named(reference, item.span)
    if stage is not None:
        return around.state_of(stage).root
    return around.image_root(reference, item.span)


def _cache_id(name: str, around: Surroundings) -> str:
    namespace = around.build_arg(NAMESPACE)
    return f"{namespace}/{name}" if namespace else name


def _clean(path: str) -> str:
    return "/" + posixpath.normpath(f"/{path}").strip("/")
