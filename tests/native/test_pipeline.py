"""The pipeline of a layer: whichever part of it fails ends all of it, at once, and leaves no thread and no blob."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from builder.errors import Cancelled
from builder.layers.codec import Compression
from builder.layers.compress import Workers, press
from builder.layers.lane import Lane
from builder.layers.pack import pack_diff
from builder.packing import Packer
from builder.snapshots.convert import Packing
from builder.snapshots.snapshot import Snapshot
from builder.store.store import Store

MIB = 1 << 20
KINDS: tuple[Compression, ...] = ("none", "gzip", "zstd")


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    """No thread outlives what started it."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def tree_of(place: Path, size: int = 40 * MIB) -> str:
    (place / "diff").mkdir(parents=True)
    with open(place / "diff" / "file", "wb") as file:
        file.truncate(size)
    return str(place)


class Out:
    """Takes so many bytes, and then raises."""

    def __init__(self, room: int, error: BaseException) -> None:
        self.room, self.error, self.calls_after = room, error, 0

    def write(self, data: bytes) -> None:
        if self.room < 0:
            self.calls_after += 1
        self.room -= len(data)
        if self.room < 0:
            raise self.error


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), Cancelled("stopped"), KeyboardInterrupt()])
def test_a_writer_that_fails_ends_the_packing(kind: Compression, error: BaseException, tmp_path: Path) -> None:
    """With its own error, and it is not called again."""
    out = Out(100, error)

    with pytest.raises(type(error)) as raised:
        pack_diff(tree_of(tmp_path / "tree"), [], out, owners="recorded", clamp=0, compression=kind)

    assert raised.value is error
    assert out.calls_after == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_tree_that_cannot_be_packed_ends_it_too(kind: Compression, tmp_path: Path) -> None:
    """After some MiB have been written."""
    tree = tree_of(tmp_path / "tree")
    (tmp_path / "tree" / "diff" / "z").mkdir()
    (tmp_path / "tree" / "diff" / "z" / ".wh.x").touch()
    out = io.BytesIO()

    with pytest.raises(Exception, match="wh"), Workers(2) as workers:
        pack_diff(tree, [], out, owners="recorded", clamp=0, compression=kind, workers=workers)


def test_a_packing_that_fails_gives_its_room_back(tmp_path: Path) -> None:
    """To the other layers, which share it."""
    tree = tree_of(tmp_path / "tree")
    with Workers(2) as workers:
        for _ in range(10):
            with pytest.raises(OSError, match="full"):
                pack_diff(tree, [], Out(0, OSError(errno.EIO, "full")), owners="recorded", clamp=0, workers=workers)
        members = [workers.submit(press("gzip") or bytes, b"x") for _ in range(workers.most)]
        assert all(member.take() for member in members)


def test_no_more_pieces_are_on_their_way_than_there_is_room(tmp_path: Path) -> None:
    """B-T6: bounded memory, however slow the disk, with several layers at once."""
    made, taken = [], []

    def make(piece: bytes) -> bytes:
        made.append(1)
        return piece

    with Workers(2) as workers, Lane("write", lambda member: taken.append(member.take()), None, 100) as lane:
        for _ in range(200):
            lane.put(workers.submit(make, b"x"))
            assert len(made) - len(taken) <= workers.most + 1
    assert len(taken) == 200


class Results:
    """Snapshots that stand on nothing."""

    def __init__(self, trees: Sequence[str]) -> None:
        self.results = [Result(f"{number:064x}", Snapshot((tree,))) for number, tree in enumerate(trees)]


class Result:
    def __init__(self, id: str, snapshot: Snapshot) -> None:
        self.id, self.snapshot = id, snapshot


PACKING = Packing(0, "gzip")


def test_layers_of_an_image_are_packed_at_once_and_come_in_order(tmp_path: Path, monkeypatch: object) -> None:
    """Overlap is counted: each waits in the middle until another has come as far."""
    assert isinstance(monkeypatch, pytest.MonkeyPatch)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    trees = [tree_of(tmp_path / str(number), number * 3 * MIB + 5) for number in range(4)]
    together = threading.Barrier(2, timeout=60)
    with Store.open(str(tmp_path / "store")) as store:
        packer = Packer(store, lambda: (together.wait() and "recorded") or "recorded", threading.Event())
        layers = packer.pack(Results(trees).results, PACKING)  # type: ignore[arg-type]

    assert [layer.diff_id for layer in layers if layer] == [alone(tree) for tree in trees]


def alone(tree: str) -> str:
    return pack_diff(tree, [], io.BytesIO(), owners="recorded", clamp=0).diff_id


def staged_and_stored(store: Path) -> list[Path]:
    return [path for path in (*store.glob("blobs/sha256/*"), *store.glob("tmp/**/*blob*")) if path.is_file()]


def test_the_first_layer_that_fails_ends_the_others(tmp_path: Path) -> None:
    """No half a blob stays; the error is the one that came first, whichever layer it is of."""
    trees = [tree_of(tmp_path / "large", 3000 * MIB), tree_of(tmp_path / "bad")]
    (tmp_path / "bad" / "diff" / ".wh.x").touch()
    with Store.open(str(tmp_path / "store")) as store:
        packer = Packer(store, lambda: "recorded", threading.Event())
        with pytest.raises(Exception, match="wh"):
            packer.pack(Results(trees).results, PACKING)  # type: ignore[arg-type]
        assert staged_and_stored(tmp_path / "store") == []


def test_a_build_that_is_stopped_leaves_no_blob(tmp_path: Path) -> None:
    """The packing ends at its next MiB."""
    cancelled = threading.Event()

    def owners() -> str:
        threading.Timer(0.05, cancelled.set).start()
        return "recorded"

    with Store.open(str(tmp_path / "store")) as store:
        packer = Packer(store, owners, cancelled)  # type: ignore[arg-type]
        with pytest.raises(Cancelled):
            packer.pack(Results([tree_of(tmp_path / "large", 3000 * MIB)]).results, PACKING)  # type: ignore[arg-type]
        assert staged_and_stored(tmp_path / "store") == []
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()
