"""Digests of context files are remembered by stat, and only when that is safe."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from builder.dockerfile.ignore import Ignore
from builder.sources import hashes
from builder.sources.context import ContextTree
from builder.sources.hashes import FileHashes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LATER = 10 * 10**9


@pytest.fixture
def context(tmp_path: Path) -> Iterator[ContextTree]:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/a").write_text("content")
    tree = ContextTree(str(tmp_path / "context"), Ignore(()))
    yield tree
    tree.close()


def open_hashes(
    context: ContextTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int = LATER
) -> FileHashes:
    """As a build that begins `ahead` nanoseconds from now would."""
    now = time.time_ns()
    monkeypatch.setattr(hashes.time, "time_ns", lambda: now + ahead)
    return FileHashes(str(tmp_path / "hashes"), context.root)


def digest(found: FileHashes, context: ContextTree) -> str:
    entry = context.entry("a")
    assert entry is not None
    return found.digest(context, entry)


def test_a_remembered_file_is_not_read_again(
    context: ContextTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_hashes(context, tmp_path, monkeypatch)
    expected = hashlib.sha256(b"content").hexdigest()
    assert digest(first, context) == expected
    first.save()
    monkeypatch.setattr(hashes, "_sha256", lambda tree, entry: "read")

    assert digest(open_hashes(context, tmp_path, monkeypatch), context) == expected


def test_a_changed_file_is_read_again(context: ContextTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same size, same mtime: the change time tells."""
    first = open_hashes(context, tmp_path, monkeypatch)
    digest(first, context)
    first.save()
    path = f"{context.root}/a"
    before = os.stat(path)
    time.sleep(0.02)  # a tick of the file system's clock
    with open(path, "w") as file:
        file.write("CONTENT")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert digest(open_hashes(context, tmp_path, monkeypatch), context) == hashlib.sha256(b"CONTENT").hexdigest()


def test_a_file_that_has_just_changed_is_not_remembered(
    context: ContextTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_hashes(context, tmp_path, monkeypatch, ahead=0)
    digest(first, context)
    first.save()

    assert not (tmp_path / "hashes").exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", "\0", "null"])
def test_a_damaged_file_costs_time_only(
    context: ContextTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    first = open_hashes(context, tmp_path, monkeypatch)
    expected = digest(first, context)
    first.save()
    (saved,) = (tmp_path / "hashes").iterdir()
    assert list(json.loads(saved.read_text()).values()) == [expected]
    saved.write_text(damage)

    assert digest(open_hashes(context, tmp_path, monkeypatch), context) == expected
