"""FROM, ARG and ONBUILD: what shapes stages (dockerfile-language 1.6, 1.7, 1.10)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile.arguments import split_list, split_words
from builder.dockerfile.faults import Fault
from builder.dockerfile.flags import Flags
from builder.dockerfile.instructions import Arg, From, Onbuild

if TYPE_CHECKING:
    from builder.dockerfile.nodes import Node

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")


def parse_from(node: Node) -> From:
    flags = Flags("FROM", node.flags, {"platform": "string"})
    words = split_list(node.rest)
    if len(words) not in (1, 3):
        raise Fault("FROM requires either one or three arguments", near=node.rest, hint="FROM <image> [AS <name>]")
    name = _stage_name(words[1], words[2]) if len(words) == 3 else None
    return From(node.span, node.text, words[0], flags.string("platform"), name)


def _stage_name(keyword: str, name: str) -> str:
    if keyword.lower() != "as":
        raise Fault(f"expected AS, not {keyword}", near=keyword, hint="FROM <image> [AS <name>]")
    if not _STAGE_NAME.fullmatch(name.lower()):
        raise Fault(
            f"invalid name for build stage: {name!r}",
            near=name,
            hint="a name starts with a letter; letters, digits, '-', '_' and '.' follow",
        )
    return name.lower()


def parse_arg(node: Node) -> Arg:
    Flags("ARG", node.flags)
    words = split_words(node.rest, node.escape)
    if not words:
        raise Fault("ARG requires at least one argument", hint="ARG <name>[=<default>] …")
    return Arg(node.span, node.text, tuple(_declaration(word) for word in words))


def _declaration(word: str) -> tuple[str, str | None]:
    name, equals, default = word.partition("=")
    if not name:
        raise Fault("ARG names can not be blank", near=word)
    return name, default if equals else None


def parse_onbuild(node: Node) -> Onbuild:
    Flags("ONBUILD", node.flags)
    if not node.rest:
        raise Fault("ONBUILD requires at least one argument", hint="ONBUILD <instruction>")
    bodies = "".join(f"\n{doc.body}{doc.name}" for doc in node.heredocs)
    return Onbuild(node.span, node.text, node.rest + bodies)


def check_trigger(name: str) -> None:
    """Raise for an instruction that ONBUILD must not hold."""
    if name.lower() == "onbuild":
        raise Fault("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", near=name)
    if name.lower() in ("from", "maintainer"):
        raise Fault(f"{name.upper()} isn't allowed as an ONBUILD trigger", near=name)
