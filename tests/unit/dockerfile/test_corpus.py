"""The reference implementation's own cases, from the JSONL file that RBUILD_CORPUS names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from builder.dockerfile.arguments import json_array, split_words
from builder.dockerfile.gitref import parse_gitref
from builder.dockerfile.heredoc import heredocs_of_line, parse_heredoc
from builder.dockerfile.ignore import Ignore, read_patterns
from builder.dockerfile.instructions import Copy, Heredoc, Run
from builder.dockerfile.parser import parse
from builder.dockerfile.words import Expansion, expand
from builder.errors import DockerfileError
from tests.support.classic_ast import classic_ast

Case = dict[str, Any]

CORPUS = os.environ.get("RBUILD_CORPUS")
CASES: list[Case] = [json.loads(line) for line in Path(CORPUS).read_text().splitlines()] if CORPUS else []


def _env(case: Case) -> dict[str, str]:
    if isinstance(case["env"], dict):
        return dict(case["env"])
    return {name: value for name, _, value in (pair.partition("=") for pair in case["env"])}


def _expansion(case: Case) -> Expansion:
    found = expand(case["input"], _env(case))
    if "matched" in case:
        assert sorted(found.matched) == sorted(case["matched"])
        assert sorted(found.unmatched) == sorted(case["unmatched"])
    return found


def _json_args(case: Case) -> list[str] | None:
    found = json_array(case["input"])
    return None if found is None else list(found)


def _heredoc_word(case: Case) -> str:
    try:
        return "valid" if parse_heredoc(case["input"]) else "none"
    except DockerfileError:
        return "invalid"


def _second_instruction(case: Case) -> Any:
    return parse(case["dockerfile"].encode(), "Dockerfile").instructions[1]


def _copy(case: Case) -> Case:
    copy = _second_instruction(case)
    assert isinstance(copy, Copy)
    contents = [{"Data": doc.content, "Expand": doc.expand, "Path": doc.name} for doc in copy.heredocs]
    return _said(DestPath=copy.dest, SourcePaths=list(copy.sources), SourceContents=contents)


def _run(case: Case) -> Case:
    run = _second_instruction(case)
    assert isinstance(run, Run)
    return {
        "command": list(run.argv),
        "shell": not run.exec_form,
        **_said(files=[_file(doc) for doc in run.heredocs]),
    }


def _file(heredoc: Heredoc) -> Case:
    return {"Data": heredoc.body, "Name": heredoc.name, **_said(Chomp=heredoc.chomp)}


def _gitref(case: Case) -> Case | None:
    found = parse_gitref(case["input"])
    if found is None:
        return None
    return _said(
        Remote=found.remote,
        ShortName=found.short_name,
        Ref=found.ref,
        SubDir=found.subdir,
        Checksum=found.checksum,
        MTime=found.mtime,
        FetchByCommit=found.fetch_by_commit,
        IndistinguishableFromLocal=found.local_lookalike,
        UnencryptedTCP=found.plaintext,
    )


def _said(**fields: Any) -> Case:
    """The fields that say something: the cases leave out the others."""
    return {name: value for name, value in fields.items() if value}


OPERATIONS = {
    "word": lambda case: _expansion(case).text,
    "words": lambda case: list(_expansion(case).words),
    "parse": lambda case: classic_ast(case["dockerfile"].encode()),
    "json-args": _json_args,
    "split-words": lambda case: split_words(case["input"]),
    "heredoc-word": _heredoc_word,
    "heredoc-names": lambda case: [heredoc.name for heredoc in heredocs_of_line(case["input"])],
    "stages": lambda case: parse(case["dockerfile"].encode(), "Dockerfile"),
    "copy": _copy,
    "run": _run,
    "gitref": _gitref,
    "ignore": lambda case: Ignore(case["patterns"]).excluded(case["path"]),
    "ignorefile": lambda case: read_patterns(case["text"]),
}


@pytest.mark.skipif(not CORPUS, reason="RBUILD_CORPUS is not set")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_reference_case(case: Case) -> None:
    """Each case gives the reference's result, or fails where the reference fails."""
    operation = OPERATIONS[case["op"]]

    if "error" in case:
        with pytest.raises(DockerfileError):
            operation(case)
    else:
        assert _trimmed(operation(case)) == _trimmed(case["expect"])


def _trimmed(value: object) -> object:
    return value.strip() if isinstance(value, str) and value.startswith("(") else value
