"""Dockerfile text to instructions: the first arrow of a build.

    bytes ── lexer ──► nodes ── one parse_… function each ──► instructions

Every error is a DockerfileError that points to its line, and to its column where the cause is a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.dockerfile import parse_config, parse_copy, parse_run, parse_stage
from builder.dockerfile.faults import Fault, did_you_mean, place
from builder.dockerfile.instructions import Arg, Dockerfile, From, Instruction, Onbuild
from builder.dockerfile.lexer import decode, read_nodes
from builder.errors import DockerfileError, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from builder.dockerfile.nodes import Node

_LONGEST_NAME = 40  # characters that are shown of an instruction nobody knows

_PARSERS: dict[str, Callable[[Node], Instruction]] = {
    "ADD": parse_copy.parse_add,
    "ARG": parse_stage.parse_arg,
    "CMD": parse_config.parse_cmd,
    "COPY": parse_copy.parse_copy,
    "ENTRYPOINT": parse_config.parse_entrypoint,
    "ENV": parse_config.parse_env,
    "EXPOSE": parse_config.parse_expose,
    "FROM": parse_stage.parse_from,
    "HEALTHCHECK": parse_config.parse_healthcheck,
    "LABEL": parse_config.parse_label,
    "MAINTAINER": parse_config.parse_maintainer,
    "ONBUILD": parse_stage.parse_onbuild,
    "RUN": parse_run.parse_run,
    "SHELL": parse_config.parse_shell,
    "STOPSIGNAL": parse_config.parse_stopsignal,
    "USER": parse_config.parse_user,
    "VOLUME": parse_config.parse_volume,
    "WORKDIR": parse_config.parse_workdir,
}
# By lower case: some letters that are no ASCII have an upper case that is.
_BY_NAME = {name.lower(): parser for name, parser in _PARSERS.items()}


def parse(data: bytes, file: str) -> Dockerfile:
    """Parse a whole Dockerfile; `file` is the name that messages give it."""
    source = decode(data, file)
    directives, nodes = read_nodes(source, file)
    if not nodes:
        raise DockerfileError("file with no instructions", span=Span(file, 1, 1), hint="start with FROM")
    lines = source.split("\n")
    instructions = tuple(_parse_node(node, lines) for node in nodes)
    _check_order(instructions)
    return Dockerfile(file, source, directives, instructions, nodes)


def parse_trigger(text: str, span: Span) -> Instruction:
    """Parse what an ONBUILD stored; `span` is the place to blame, usually the FROM that runs it.

    The reference parses a trigger as a file of its own: its escape character is the backslash.
    """
    try:
        _, nodes = read_nodes(text, span.file)
        if len(nodes) != 1:
            raise Fault(f"an ONBUILD trigger must be one instruction: {text!r}")
        parse_stage.check_trigger(nodes[0].name)
        return _instruction(nodes[0])._replace(span=span)
    except DockerfileError as error:
        # Lines of the trigger are not lines of the file.
        error.span = span
        raise


def _parse_node(node: Node, lines: Sequence[str]) -> Instruction:
    try:
        instruction = _instruction(node)
        if isinstance(instruction, Onbuild):
            _check_trigger(instruction, node)
    except DockerfileError as error:
        place(error, node.span, lines)
        raise
    return instruction


def _instruction(node: Node) -> Instruction:
    parser = _BY_NAME.get(node.name.lower())
    if parser is None:
        raise _unknown(node.name)
    return parser(node)


def _unknown(name: str) -> Fault:
    if "\0" in name:
        return Fault("this is not a Dockerfile: it is not text", hint="name the Dockerfile with -f")
    shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    return Fault(f"unknown instruction: {shown}", near=name, hint=did_you_mean(name, _PARSERS))


def _check_trigger(onbuild: Onbuild, node: Node) -> None:
    """A trigger that can never run is an error here, where its author sees it."""
    try:
        parse_trigger(onbuild.trigger, node.span)
    except DockerfileError as error:
        # Let `place` look for the words of the trigger, which are in this file.
        error.span = None
        raise


def _check_order(instructions: tuple[Instruction, ...]) -> None:
    """Only ARG may precede the first FROM, and there must be one (1.1)."""
    for instruction in instructions:
        if isinstance(instruction, From):
            return
        if not isinstance(instruction, Arg):
            raise DockerfileError(
                "no build stage in current context",
                span=instruction.span,
                hint="only ARG may stand before the first FROM",
            )
    raise DockerfileError("dockerfile contains no stages to build", span=instructions[-1].span)
