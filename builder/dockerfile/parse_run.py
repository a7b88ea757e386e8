"""RUN (dockerfile-language 1.4, 1.5, 1.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile.faults import Fault, did_you_mean
from builder.dockerfile.flags import Flags
from builder.dockerfile.heredoc import parse_heredoc
from builder.dockerfile.instructions import Device, Run
from builder.dockerfile.parse_config import command_line

if TYPE_CHECKING:
    from builder.dockerfile.flags import Kind
    from builder.dockerfile.instructions import MountSpec
    from builder.dockerfile.nodes import Node

_FLAGS: dict[str, Kind] = {"mount": "list", "network": "string", "security": "string", "device": "list"}
_NETWORKS = ("default", "none", "host")
_SECURITIES = ("sandbox", "insecure")


def parse_run(node: Node) -> Run:
    flags = Flags("RUN", node.flags, _FLAGS)
    command = command_line(node.rest)
    if not command.argv:
        raise Fault("RUN [] has no command", near="[")
    return Run(
        node.span,
        node.text,
        mounts=_mounts(flags.strings("mount")),
        network=_one_of(flags, "network", _NETWORKS),
        security=_one_of(flags, "security", _SECURITIES),
        devices=tuple(_device(text) for text in flags.strings("device")),
        exec_form=command.exec_form,
        argv=command.argv,
        heredocs=node.heredocs,
        lone_heredoc=bool(node.heredocs) and parse_heredoc(node.rest) is not None,
    )


def _mounts(texts: tuple[str, ...]) -> tuple[MountSpec, ...]:
    if not texts:
        return ()
    from builder.dockerfile.mounts import parse_mount

    return tuple(parse_mount(text) for text in texts)


def _one_of(flags: Flags, name: str, values: tuple[str, ...]) -> str:
    """The value of a flag that knows a few; the first of them is its default."""
    value = flags.string(name)
    if value is None:
        return values[0]
    if value not in values:
        hint = did_you_mean(value, values) or " or ".join(values)
        raise Fault(f"invalid {name} mode {value!r}", near=f"--{name}", hint=hint)
    return value


def _device(text: str) -> Device:
    """`[name=]NAME[,required[=bool]]`."""
    from builder.dockerfile.mounts import parse_boolean, split_csv

    names: list[str] = []
    required = False
    for field in split_csv(text, "--device"):
        key, equals, value = field.partition("=")
        if key.lower() == "required":
            required = parse_boolean("required", value) if equals else True
        elif key.lower() == "name" and equals:
            names.append(value)
        else:
            # `vendor/class=device` is a name with an equals sign of its own.
            names.append(field)
    if len(names) != 1 or not names[0]:
        raise Fault(f"invalid device {text!r}", near="--device", hint="--device=[name=]NAME[,required]")
    return Device(names[0], required)
