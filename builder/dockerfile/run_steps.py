"""RUN: which process, in which environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile import history
from builder.dockerfile.run_mounts import mount_points
from builder.dockerfile.run_options import check_rights, hostname
from builder.errors import DockerfileError, NotSupported
from builder.graph.ops import ExecOp

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Run
    from builder.dockerfile.state import StageState
    from builder.dockerfile.surroundings import Surroundings

SCRIPTS = "/dev/pipes"


def run(state: StageState, item: Run, around: Surroundings) -> StageState:
    _refuse_unsupported(item)
    check_rights(item, around.confinement.allow)
    argv, scripts = _command(state, item)
    op = ExecOp(
        root=state.root,
        argv=argv,
        env=state.variables.items,
        cwd=state.workdir,
        user=state.config.user,
        network=item.network if item.network in ("none", "host") else around.network,
        hostname=hostname(around),
        scripts=scripts,
        hosts=around.confinement.hosts,
        ulimits=around.confinement.ulimits,
        shm_size=around.confinement.shm_size,
        security=item.security,
        platform=_foreign(state, around),
        mounts=mount_points(state, item, around),
    )
    root = around.builder.add(op, around.note(item.text, item.span))
    return state.grown(root, history.step(history.run(argv, state.args.items)))


def _foreign(state: StageState, around: Surroundings) -> str:
    """The platform of the stage's programs, where it is not the builder's own."""
    if state.platform is None or around.build_platform.rank(state.platform) is not None:
        return ""
    return str(state.platform)


def _refuse_unsupported(item: Run) -> None:
    refused = [
        ("--device", bool(item.devices)),
    ]
    for flag, used in refused:
        if used:
            raise NotSupported(f"RUN {flag} is not supported yet", span=item.span)


def _command(state: StageState, item: Run) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """argv and the scripts that it names: a lone heredoc with a #! line is executed itself."""
    if item.exec_form:
        if not item.argv:
            raise DockerfileError("RUN needs a command: the JSON array is empty", span=item.span)
        return item.argv, ()
    if item.lone_heredoc and item.script.startswith("#!"):
        name = item.heredocs[0].name
        if name in (".", "..") or "/" in name:
            raise DockerfileError(f"a script cannot be called {name!r}", span=item.span, hint="write RUN <<EOF")
        return (f"{SCRIPTS}/{name}",), ((name, item.script),)
    return (*state.shell, item.script), ()
