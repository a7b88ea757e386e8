"""Stages that share files on disk: COPY --from links where it may, and no step ever sees that it did (F2, F-T3)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.builds import build, write_context

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.command import Rbuild

STAGES = """\
FROM busybox AS made
RUN mkdir -p /out/sub && echo text >/out/text && echo two >/out/sub/one && ln /out/sub/one /out/two
FROM busybox AS final
COPY --from=made /out /app
"""
# What a file with a second name that nobody gave it would break.
LOOKED_AT = """\
RUN stat -c '%n %h' /app/text /app/two /app/sub/one && test ! /app/text -ef /out/text && gzip /app/text
"""


def shared(store: Path) -> list[str]:
    """Names of files of snapshots that have other names in other trees."""
    found: dict[int, list[Path]] = {}
    for path in store.glob("snapshots/*/*/diff/**/*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_nlink > 1:
            found.setdefault(path.stat().st_ino, []).append(path)
    trees = {number: {str(path).partition("/diff/")[0] for path in paths} for number, paths in found.items()}
    return sorted(path.name for number, paths in found.items() if len(trees[number]) > 1 for path in paths)


def clones(directory: Path) -> bool:
    from builder.snapshots.shared import _clones

    return _clones(str(directory))


@pytest.fixture
def context(tmp_path: Path) -> Path:
    if clones(tmp_path):
        pytest.skip("this file system clones: nothing is linked")
    return write_context(tmp_path / "context", STAGES)


def test_copy_from_links_files_between_trees(rbuild: Rbuild, base: str, context: Path) -> None:
    """No byte is copied, and the layer says nothing of it: links of the stage itself are all that it tells."""
    linked = build(rbuild, context).digest

    assert shared(rbuild.store) == ["one", "one", "text", "text", "two", "two"]
    (context / "Dockerfile").write_text(STAGES.replace("/out /app", "/out/sub /out/text /out/two /app/") + "RUN true\n")
    assert build(rbuild, context).digest != linked


def test_a_step_on_a_linked_tree_sees_files_of_its_own(rbuild: Rbuild, base: str, context: Path) -> None:
    """Added to the Dockerfile later: gzip works, links among the names of the tree are still links."""
    build(rbuild, context)
    (context / "Dockerfile").write_text(STAGES + LOOKED_AT)

    told = build(rbuild, context)

    assert [event["line"] for event in told["StepLog"]] == ["/app/text 1", "/app/two 2", "/app/sub/one 2"]
    assert shared(rbuild.store) == ["one", "one", "text", "text", "two", "two"]
    fresh = build(rbuild, "--no-cache", context)
    assert fresh.digest == told.digest


def test_nothing_is_linked_where_a_step_of_the_build_looks(rbuild: Rbuild, base: str, context: Path) -> None:
    (context / "Dockerfile").write_text(STAGES + LOOKED_AT)

    build(rbuild, context)

    assert shared(rbuild.store) == []


def test_nothing_is_linked_from_what_a_step_ran_on(rbuild: Rbuild, base: str, context: Path) -> None:
    """A step may still be running there, or come back."""
    stages = STAGES.replace("FROM busybox AS final", "RUN true\nFROM busybox AS final")
    (context / "Dockerfile").write_text(stages)

    build(rbuild, context)

    assert shared(rbuild.store) == []


def test_a_step_on_the_source_sees_files_of_its_own(rbuild: Rbuild, base: str, context: Path) -> None:
    """The other side of the link: by a stage above it and by a bind mount, each in a later build."""
    build(rbuild, context)
    look = "RUN {} stat -c '%h' {}/text {}/two {}/sub/one\n"
    above = "FROM made\n" + look.format("", "/out", "/out", "/out")
    bound = "FROM busybox\n" + look.format("--mount=from=made,source=/out,target=/mnt", "/mnt", "/mnt", "/mnt")

    for more in (above, bound):
        (context / "Dockerfile").write_text(STAGES + more)
        told = build(rbuild, context)

        assert [event["line"] for event in told["StepLog"]] == ["1", "2", "2"]


def test_linked_trees_go_one_by_one(rbuild: Rbuild, base: str, context: Path) -> None:
    """What one tree loses the other keeps, and what is written to neither reaches the other."""
    build(rbuild, context)
    trees = [path.parent.parent for path in rbuild.store.glob("snapshots/*/*/diff/app")]
    assert len(trees) == 1
    text = trees[0] / "diff/app/text"
    twin = next(iter(rbuild.store.glob("snapshots/*/*/diff/out/text")))

    assert os.path.samefile(text, twin)
    text.unlink()

    assert twin.read_text() == "text\n"


def test_one_file_in_two_trees_is_two_files(rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """Two copies of one directory share inodes on disk: to a copy of both they are no links of each other."""
    twice = "FROM scratch AS twice\nCOPY --from=made /out/sub /one\nCOPY --from=made /out/sub /two\n"
    stages = STAGES.partition("FROM busybox AS final")[0] + twice + "FROM busybox\nCOPY --from=twice / /app\n"
    context = write_context(tmp_path / "context", stages)
    build(rbuild, context)  # without a step that looks, so that files are linked
    (context / "Dockerfile").write_text(stages + "RUN stat -c %h /app/one/one /app/two/one\n")

    told = build(rbuild, context)

    assert [event["line"] for event in told["StepLog"]] == ["1", "1"]
    assert build(rbuild, "--no-cache", context).digest == told.digest
