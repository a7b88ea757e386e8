"""COPY --link: a layer that depends on nothing below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder import events
from builder.building import build
from builder.request import BuildRequest
from builder.sources.context import ContextTree

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from builder.events import Event


def _built(context: Path, dockerfile: str) -> tuple[list[str], list[str]]:
    """Build; the names of the steps that ran, and of those that were found."""
    (context / "Dockerfile").write_text(dockerfile)
    told: list[Event] = []
    build(BuildRequest(str(context), store=str(context.parent / "store"), isolation="none"), told.append)
    ran = [event.step for event in told if isinstance(event, events.StepStarted)]
    return ran, [event.step for event in told if isinstance(event, events.StepCached)]


def test_a_linked_copy_is_found_when_its_base_changes(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "a").write_text("a")
    (context / "base").write_text("1")
    text = "FROM scratch\nCOPY base /\nCOPY --link a /x/\nCOPY a /y/\n"
    assert len(_built(context, text)[0]) == 3

    (context / "base").write_text("2")
    ran, found = _built(context, text)

    assert [name.split("] ")[1] for name in ran] == ["COPY base /", "COPY a /y/"]
    assert [name.split("] ")[1] for name in found] == ["COPY --link a /x/"]


def test_ignored_directories_are_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although a rule includes something elsewhere again."""
    context = tmp_path / "context"
    for name in ("ignored/deep", "keep"):
        (context / name).mkdir(parents=True)
        (context / name / "x").touch()
    (context / ".dockerignore").write_text("ignored\nkeep\n!keep/x\n")
    listed: list[str] = []
    read = ContextTree.read
    monkeypatch.setattr(ContextTree, "read", lambda tree, path: (listed.append(path), read(tree, path))[1])

    _built(context, "FROM scratch\nCOPY . /\nCOPY keep/x /one\nCOPY --parents keep/x /two/\n")

    # For the keys once, whatever number of steps reads it, and once more to see that nothing has changed meanwhile.
    assert listed == ["", "keep", "", "keep"]
