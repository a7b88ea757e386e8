"""The instructions that only change the image's configuration, and SHELL (dockerfile-language 1.4, 1.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile.arguments import json_array, json_or_list, key_values, split_list
from builder.dockerfile.blanks import BLANK_RUN
from builder.dockerfile.faults import Fault, did_you_mean
from builder.dockerfile.flags import Flags
from builder.dockerfile.instructions import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.dockerfile.flags import Kind
    from builder.dockerfile.nodes import Node

_HEALTH_FLAGS: dict[str, Kind] = {
    "interval": "string",
    "timeout": "string",
    "start-period": "string",
    "start-interval": "string",
    "retries": "string",
}


class CommandLine(NamedTuple):
    """A command in exec form, or in shell form: then argv is its one text."""

    exec_form: bool
    argv: tuple[str, ...]


def command_line(rest: str) -> CommandLine:
    array = json_array(rest)
    return CommandLine(False, (rest,)) if array is None else CommandLine(True, array)


def parse_env(node: Node) -> Env:
    Flags("ENV", node.flags)
    return Env(node.span, node.text, *key_values(node.rest, "ENV", node.escape))


def parse_label(node: Node) -> Label:
    Flags("LABEL", node.flags)
    return Label(node.span, node.text, *key_values(node.rest, "LABEL", node.escape))


def parse_cmd(node: Node) -> Cmd:
    Flags("CMD", node.flags)
    return Cmd(node.span, node.text, *command_line(node.rest))


def parse_entrypoint(node: Node) -> Entrypoint:
    Flags("ENTRYPOINT", node.flags)
    return Entrypoint(node.span, node.text, *command_line(node.rest))


def parse_shell(node: Node) -> Shell:
    Flags("SHELL", node.flags)
    argv = json_array(node.rest)
    if not argv:
        raise Fault(
            "SHELL requires a JSON array of at least one string",
            near=node.rest,
            hint='SHELL ["/bin/sh", "-c"]',
        )
    return Shell(node.span, node.text, argv)


def parse_workdir(node: Node) -> Workdir:
    return Workdir(node.span, node.text, _one_argument(node, "WORKDIR"))


def parse_user(node: Node) -> User:
    return User(node.span, node.text, _one_argument(node, "USER"))


def parse_stopsignal(node: Node) -> StopSignal:
    return StopSignal(node.span, node.text, _one_argument(node, "STOPSIGNAL"))


def parse_maintainer(node: Node) -> Maintainer:
    return Maintainer(node.span, node.text, _one_argument(node, "MAINTAINER"))


def _one_argument(node: Node, instruction: str) -> str:
    """The whole line: white space inside belongs to it."""
    Flags(instruction, node.flags)
    if not node.rest:
        raise Fault(f"{instruction} requires exactly one argument")
    return node.rest


def parse_expose(node: Node) -> Expose:
    Flags("EXPOSE", node.flags)
    if not node.rest:
        raise Fault("EXPOSE requires at least one argument", hint="EXPOSE <port>[/<protocol>] …")
    return Expose(node.span, node.text, split_list(node.rest))


def parse_volume(node: Node) -> Volume:
    Flags("VOLUME", node.flags)
    paths = json_or_list(node.rest)
    if not paths:
        raise Fault("VOLUME requires at least one argument", hint="VOLUME <path> …")
    if "" in paths:
        raise Fault("VOLUME can not be an empty string", near='""')
    return Volume(node.span, node.text, paths)


def parse_healthcheck(node: Node) -> Healthcheck:
    flags = Flags("HEALTHCHECK", node.flags, _HEALTH_FLAGS)
    if not node.rest:
        raise Fault("HEALTHCHECK requires at least one argument", hint="HEALTHCHECK CMD <command>, or NONE")
    kind, *command = BLANK_RUN.split(node.rest, maxsplit=1)
    disabled = _is_disabled(kind, command)
    test = CommandLine(False, ()) if disabled else _health_command(kind, command)
    return Healthcheck(
        node.span,
        node.text,
        disabled,
        *test,
        interval=_health_time(flags, "interval"),
        timeout=_health_time(flags, "timeout"),
        start_period=_health_time(flags, "start-period"),
        start_interval=_health_time(flags, "start-interval"),
        retries=_retries(flags),
    )


def _is_disabled(kind: str, command: list[str]) -> bool:
    if kind.upper() != "NONE":
        return False
    if command:
        raise Fault("HEALTHCHECK NONE takes no arguments", near=command[0])
    return True


def _health_command(kind: str, command: list[str]) -> CommandLine:
    if kind.upper() != "CMD":
        hint = did_you_mean(kind, ("CMD", "NONE"))
        raise Fault(f"unknown type {kind!r} in HEALTHCHECK", near=kind, hint=hint or "try CMD")
    test = command_line(command[0]) if command else CommandLine(False, ())
    if not test.argv:
        raise Fault("missing command after HEALTHCHECK CMD", near=kind)
    return test


def _health_time(flags: Flags, name: str) -> int:
    value = flags.string(name)
    if not value:
        return 0
    from builder.dockerfile.durations import parse_duration

    nanoseconds = parse_duration(value)
    if nanoseconds is None:
        raise Fault(f"invalid duration for --{name}: {value!r}", near=f"--{name}", hint="like 1m30s or 500ms")
    if nanoseconds != 0 and nanoseconds < 1_000_000:
        raise Fault(f"--{name} cannot be less than 1ms: {value!r}", near=f"--{name}")
    return nanoseconds


def _retries(flags: Flags) -> int:
    value = flags.string("retries")
    if not value:
        return 0
    if not (value.isascii() and value.isdecimal() and len(value) < 11 and int(value) < 2**31):
        raise Fault(f"--retries must be a number, 0 or more: {value!r}", near="--retries")
    return int(value)
