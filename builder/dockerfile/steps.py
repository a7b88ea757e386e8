"""One small function per instruction: StageState → StageState."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from builder.dockerfile import config_values, copy_steps, history, run_steps
from builder.dockerfile import instructions as ins
from builder.dockerfile.expand import expand, expand_words
from builder.errors import DockerfileError
from builder.graph.ops import MkdirOp
from builder.oci.config import Healthcheck

if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.dockerfile.state import StageState
    from builder.dockerfile.surroundings import Surroundings


def is_step(item: ins.Instruction) -> bool:
    """Whether the instruction is shown as a step: those that make layers."""
    return isinstance(item, ins.Run | ins.Copy | ins.Add | ins.Workdir)


def lower(state: StageState, item: ins.Instruction, around: Surroundings) -> StageState:
    """The state after `item`. Raises DockerfileError or NotSupported with the place of the instruction."""
    try:
        return _lowered(state, item, around)
    except DockerfileError as error:
        error.span = error.span or item.span
        raise


def _lowered(state: StageState, item: ins.Instruction, around: Surroundings) -> StageState:
    match item:
        case ins.Run():
            return run_steps.run(state, item, around)
        case ins.Copy():
            return copy_steps.copy(state, item, around)
        case ins.Add():
            return copy_steps.add(state, item, around)
        case ins.Workdir():
            return _workdir(state, item, around)
        case ins.Arg():
            return _arg(state, item, around)
        case ins.Env():
            return _env(state, item, around)
        case ins.Label():
            return _label(state, item, around)
        case ins.User():
            return _user(state, item, around)
        case ins.Expose():
            return _expose(state, item, around)
        case ins.Volume():
            return _volume(state, item, around)
        case ins.StopSignal():
            return _stop_signal(state, item, around)
        case _:
            return _unexpanded(state, item)


def _unexpanded(state: StageState, item: ins.Instruction) -> StageState:
    """The instructions in which no variables are expanded."""
    match item:
        case ins.Cmd():
            return _cmd(state, item)
        case ins.Entrypoint():
            return _entrypoint(state, item)
        case ins.Shell():
            return _configured(state, history.plain_list("SHELL", item.argv), shell=item.argv)
        case ins.Healthcheck():
            return _healthcheck(state, item)
        case ins.Maintainer():
            told = history.entry(f"MAINTAINER {item.author}", empty=True)
            return state._replace(config=state.config._replace(author=item.author)).told(told)
        case ins.Onbuild():
            return state._replace(triggers=state.triggers.plus(history.as_text(item.trigger)))
        case _:
            raise DockerfileError(f"{item.text.split()[0]} is not allowed here", span=item.span)


def _configured(state: StageState, told: str, **fields: object) -> StageState:
    """The state with fields of the config replaced and a history entry without a layer."""
    config = state.config._replace(**fields)  # type: ignore[arg-type]
    return _told(state._replace(config=config), told)


def _told(state: StageState, text: str) -> StageState:
    return state.told(history.entry(text, empty=True))


def _arg(state: StageState, item: ins.Arg, around: Surroundings) -> StageState:
    """Bare ARGs take the global value; a default is only expanded when nothing overrides it."""
    shown: list[str] = []
    for name, default in item.items:
        value = around.build_arg(name)
        if value is None and default is not None:
            value = expand(default, state.scope, around.escape, item.span)
        elif value is None:
            value = around.globals.get(name)
        shown.append(name if value is None else f"{name}={value}")
        if value is not None:
            state = state.declare((name, value))._replace(args=state.args.merged(((name, value),)))
    return _told(state, " ".join(["ARG", *shown]))


def _env(state: StageState, item: ins.Env, around: Surroundings) -> StageState:
    pairs = _pairs(state, item, around)
    return _told(state.declare(*pairs)._replace(env=state.env.merged(pairs)), history.pairs("ENV", pairs))


def _label(state: StageState, item: ins.Label, around: Surroundings) -> StageState:
    pairs = _pairs(state, item, around)
    return _told(state._replace(labels=state.labels.merged(pairs)), history.pairs("LABEL", pairs))


def _pairs(state: StageState, item: ins.Env | ins.Label, around: Surroundings) -> tuple[tuple[str, str], ...]:
    """Every pair sees the variables from before the instruction. A name may not vanish by its expansion."""
    scope, escape, span = state.scope, around.escape, item.span
    pairs = [(expand(key, scope, escape, span), expand(value, scope, escape, span)) for key, value in item.pairs]
    for (written, _), (name, _) in zip(item.pairs, pairs, strict=True):
        if not name.strip():
            kind = item.text.split(maxsplit=1)[0].upper()
            raise DockerfileError(f"{kind} names can not be blank: {written!r} expands to nothing", span=span)
    return tuple(pairs)


def _workdir(state: StageState, item: ins.Workdir, around: Surroundings) -> StageState:
    path = expand(item.path, state.scope, around.escape, item.span)
    workdir = posixpath.normpath(posixpath.join("/", state.workdir, path)).replace("//", "/")
    config = state.config._replace(working_dir=workdir)
    told = history.entry(f"WORKDIR {workdir}", empty=workdir == "/")
    note = around.note(item.text, item.span)
    if workdir == "/":
        return state._replace(config=config).told(told)
    root = around.builder.add(MkdirOp(state.root, workdir, state.config.user), note)
    return state._replace(config=config).grown(root, told)


def _user(state: StageState, item: ins.User, around: Surroundings) -> StageState:
    user = expand(item.user, state.scope, around.escape, item.span)
    return _configured(state, f"USER {user}", user=user)


def _expose(state: StageState, item: ins.Expose, around: Surroundings) -> StageState:
    words = [found for word in item.words for found in expand_words(word, state.scope, around.escape, item.span)]
    ports = sorted({port for word in words for port in config_values.ports(word, item.span)})
    return _told(state._replace(ports=state.ports.plus(*ports)), history.ports(ports))


def _volume(state: StageState, item: ins.Volume, around: Surroundings) -> StageState:
    paths = [expand(path, state.scope, around.escape, item.span) for path in item.paths]
    if not all(path.strip() for path in paths):
        raise DockerfileError("VOLUME needs a path: an item is empty", span=item.span)
    return _told(state._replace(volumes=state.volumes.plus(*paths)), history.plain_list("VOLUME", paths))


def _stop_signal(state: StageState, item: ins.StopSignal, around: Surroundings) -> StageState:
    signal = config_values.stop_signal(expand(item.signal, state.scope, around.escape, item.span), item.span)
    return _configured(state, f"STOPSIGNAL {signal}", stop_signal=signal)


def _command(state: StageState, exec_form: bool, argv: Sequence[str]) -> tuple[str, ...]:
    """The shell of the stage is baked in now."""
    return tuple(argv) if exec_form else (*state.shell, *argv)


def _cmd(state: StageState, item: ins.Cmd) -> StageState:
    argv = _command(state, item.exec_form, item.argv)
    state = state._replace(cmd_set=True)
    return _configured(state, history.quoted("CMD", argv), cmd=argv or None, args_escaped=True)


def _entrypoint(state: StageState, item: ins.Entrypoint) -> StageState:
    """An inherited CMD belonged to the inherited entry point; one set in this stage stays."""
    argv = _command(state, item.exec_form, item.argv)
    cmd = state.config.cmd if state.cmd_set else None
    return _configured(state, history.quoted("ENTRYPOINT", argv), entrypoint=argv or None, cmd=cmd)


def _healthcheck(state: StageState, item: ins.Healthcheck) -> StageState:
    """A shell-form test is run by the shell of the running container, not by SHELL of the stage."""
    kind = "NONE" if item.disabled else "CMD" if item.exec_form else "CMD-SHELL"
    check = Healthcheck(
        test=(kind, *item.argv),
        interval=item.interval,
        timeout=item.timeout,
        start_period=item.start_period,
        start_interval=item.start_interval,
        retries=item.retries,
    )
    return _configured(state, history.healthcheck(check), healthcheck=check)
