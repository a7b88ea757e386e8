"""The rules that look at how a file is written: names of stages, casing, comments, FROM lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile.blanks import BLANKS
from builder.dockerfile.checks.rules import Finding
from builder.dockerfile.directives import check_of_comment
from builder.dockerfile.instructions import Arg, From, Maintainer
from builder.errors import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.dockerfile.instructions import Dockerfile, Instruction
    from builder.dockerfile.nodes import Node

_RESERVED = ("scratch", "context")
_TARGET_PLATFORM = ("$TARGETPLATFORM", "${TARGETPLATFORM}")


def findings(dockerfile: Dockerfile) -> Iterator[Finding]:
    """What the lines alone tell, in order of the file."""
    majority = _majority(dockerfile.nodes)
    names: set[str] = set()
    for node, item in zip(dockerfile.nodes, dockerfile.instructions, strict=True):
        yield from _lines(node, majority)
        if isinstance(item, From):
            yield from _stage(node, item, names)
            yield from _platform(item)
        elif isinstance(item, Maintainer):
            yield Finding(
                "MaintainerDeprecated", "Maintainer instruction is deprecated in favor of using label", item.span
            )
        yield from _described(node, item)


def _consistent(word: str) -> bool:
    return word in (word.lower(), word.upper())


def _majority(nodes: tuple[Node, ...]) -> str:
    """Equal numbers count as upper case."""
    lower = sum(node.name == node.name.lower() for node in nodes)
    upper = sum(node.name == node.name.upper() for node in nodes)
    return "lowercase" if lower > upper else "uppercase"


def _lines(node: Node, majority: str) -> Iterator[Finding]:
    wanted = node.name.lower() if majority == "lowercase" else node.name.upper()
    if node.name != wanted:
        detail = f"Command '{node.name}' should match the case of the command majority ({majority})"
        yield Finding("ConsistentInstructionCasing", detail, node.span)
    if node.blank_continuations:
        # The reference blames the last line of the instruction.
        last = Span(node.span.file, node.span.last, node.span.last)
        yield Finding("NoEmptyContinuation", "Empty continuation line", last)


def _stage(node: Node, item: From, names: set[str]) -> Iterator[Finding]:
    words = re.split(f"[{BLANKS}]+", node.rest)
    if len(words) != 3:
        return
    keyword, name = words[1:]
    if name != name.lower():
        yield Finding("StageNameCasing", f"Stage name '{name}' should be lowercase", item.span)
    if _consistent(node.name) and keyword != (keyword.lower() if node.name.islower() else keyword.upper()):
        yield Finding("FromAsCasing", f"'{keyword}' and '{node.name}' keywords' casing do not match", item.span)
    if name.lower() in _RESERVED:
        detail = f'Stage name should not use the same name as reserved stage "{name}"'
        yield Finding("ReservedStageName", detail, item.span)
    if name.lower() in names:
        yield Finding("DuplicateStageName", f'Duplicate stage name "{name}", stage names should be unique', item.span)
    names.add(name.lower())


def _platform(item: From) -> Iterator[Finding]:
    if item.platform in _TARGET_PLATFORM:
        detail = f"Setting platform to predefined {item.platform} in FROM is redundant as this is the default behavior"
        yield Finding("RedundantTargetPlatform", detail, item.span)
    elif item.platform and "$" not in item.platform and not _named_after(item, item.platform):
        detail = f'FROM --platform flag should not use constant value "{item.platform}"'
        yield Finding("FromPlatformFlagConstDisallowed", detail, item.span)


def _named_after(item: From, platform: str) -> bool:
    """A stage called after its system or architecture is meant to be of that one."""
    return any(part in (item.name or "") for part in platform.lower().split("/")[:2])


def _described(node: Node, item: Instruction) -> Iterator[Finding]:
    """A `# check=` above is no description."""
    names: tuple[str, ...] = ()
    if isinstance(item, Arg):
        names = tuple(name for name, _ in item.items)
    elif isinstance(item, From) and item.name:
        names = (item.name,)
    comments = [comment for comment in node.comments if check_of_comment(comment) is None]
    if names and comments and not any(describes(comments, name) is not None for name in names):
        what = "ARG" if isinstance(item, Arg) else "FROM"
        detail = f"Comment for {what} should follow the format: `# {names[0]} <description>`"
        yield Finding("InvalidDefinitionDescription", detail, item.span)


def describes(comments: list[str] | tuple[str, ...], name: str) -> str | None:
    """What the comments above an instruction say about `name` (1.2, last row); None for nothing."""
    for comment in comments:
        first, _, rest = comment.partition(" ")
        if first.lower() == name.lower() and rest:
            return rest.strip(BLANKS)
    return None
