"""COPY and ADD (dockerfile-language 1.9)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile.arguments import json_array, split_list
from builder.dockerfile.faults import Fault
from builder.dockerfile.flags import Flags
from builder.dockerfile.heredoc import parse_heredoc
from builder.dockerfile.instructions import Add, Copy
from builder.errors import DockerfileError
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.dockerfile.flags import Kind
    from builder.dockerfile.instructions import Heredoc
    from builder.dockerfile.nodes import Node

_SHARED_FLAGS: dict[str, Kind] = {"chown": "string", "chmod": "string", "link": "bool", "exclude": "list"}
_COPY_FLAGS: dict[str, Kind] = {"from": "string", **_SHARED_FLAGS, "parents": "bool"}
_ADD_FLAGS: dict[str, Kind] = {
    **_SHARED_FLAGS,
    "keep-git-dir": "bool",
    "checksum": "string",
    "unpack": "bool",
}
_VARIABLE = re.compile(r"\$.", re.DOTALL)


class _Paths(NamedTuple):
    sources: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    dest: str


def parse_copy(node: Node) -> Copy:
    paths = _paths(node, "COPY")
    flags = Flags("COPY", node.flags, _COPY_FLAGS)
    return Copy(
        node.span,
        node.text,
        *paths,
        from_=_from(flags),
        chown=flags.string("chown"),
        chmod=flags.string("chmod"),
        link=bool(flags.boolean("link")),
        parents=bool(flags.boolean("parents")),
        exclude=flags.strings("exclude"),
    )


def _from(flags: Flags) -> str | None:
    name = flags.string("from")
    if name and _VARIABLE.search(name):
        raise Fault(
            "--from doesn't support variable expansion",
            near="--from",
            hint=f"define a stage instead: FROM {name} AS <name>",
        )
    return name or None


def parse_add(node: Node) -> Add:
    paths = _paths(node, "ADD")
    flags = Flags("ADD", node.flags, _ADD_FLAGS)
    if flags.string("checksum") and len(paths.sources + paths.heredocs) != 1:
        raise Fault("--checksum can be given for exactly one source", near="--checksum")
    return Add(
        node.span,
        node.text,
        *paths,
        chown=flags.string("chown"),
        chmod=flags.string("chmod"),
        link=bool(flags.boolean("link")),
        exclude=flags.strings("exclude"),
        checksum=flags.string("checksum"),
        keep_git_dir=flags.boolean("keep-git-dir"),
        unpack=flags.boolean("unpack"),
    )


def _paths(node: Node, instruction: str) -> _Paths:
    array = json_array(node.rest)
    words = split_list(node.rest) if array is None else array
    if len(words) < 2:
        given = "only one was" if words else "none was"
        raise Fault(
            f"{instruction} requires at least two arguments, but {given} provided; "
            "the destination could not be determined",
            hint=f"{instruction} <source>… <destination>",
        )
    *sources, dest = words
    if array is not None:
        return _Paths(tuple(sources), (), dest)
    if _heredoc_name(dest) is not None:
        raise Fault(f"{instruction} cannot accept a heredoc as a destination", near=dest)
    return _with_heredocs(node, instruction, sources, dest)


def _with_heredocs(node: Node, instruction: str, sources: list[str], dest: str) -> _Paths:
    """Bodies were read for shell words, but sources are split at white space: both must agree."""
    names = [name for word in sources if (name := _heredoc_name(word)) is not None]
    if names != [heredoc.name for heredoc in node.heredocs]:
        raise Fault(
            f"{instruction} cannot tell its heredocs from its paths",
            near="<<",
            hint="write <<NAME as one word, without white space",
        )
    paths = tuple(word for word in sources if _heredoc_name(word) is None)
    return _Paths(paths, node.heredocs, dest)


def _heredoc_name(word: str) -> str | None:
    try:
        heredoc = parse_heredoc(word)
    except DockerfileError:
        return None
    return heredoc.name if heredoc else None
