"""Digests of context files and directories are remembered by stat, and only when that is safe."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import time
from array import array
from typing import TYPE_CHECKING

import pytest

from builder import _native
from builder.dockerfile.ignore import Ignore
from builder.errors import BuildError
from builder.sources import hashes, reading
from builder.sources.context import ContextTree
from builder.sources.hashes import FileHashes
from builder.sources.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

LATER = 10 * 10**9


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    (root / "d").mkdir(parents=True)
    for name in ("a", "b", "d/c"):
        (root / name).write_text("content")
    (root / "l").symlink_to("a")
    return root


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that are read."""
    read: list[str] = []
    real = reading._read_file

    def counting(at: int, file: reading.File) -> bytes:
        read.append(os.fsdecode(file.name))
        return real(at, file)

    monkeypatch.setattr(reading, "_read_file", counting)
    return read


Look = tuple[str, list[str]]


class Builds:
    """What builds of one context find, one after the other."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = root.parent / "hashes"
        self._root = root
        self._monkeypatch = monkeypatch

    def __call__(self, ahead: int = LATER) -> Look:
        """The digest of `a` and those of the folders, in a build that begins `ahead` nanoseconds from now."""
        now = time.time_ns()
        with self._monkeypatch.context() as patch:
            patch.setattr(hashes.time, "time_ns", lambda: now + ahead)
            found = FileHashes(str(self.directory), str(self._root))
        tree = ContextTree(str(self._root), Ignore(()))
        entry = tree.entry("a")
        assert entry is not None
        looked = found.digest(tree, entry), found.contents(tree, tree.walk(""))
        found.save()
        tree.close()
        return looked


@pytest.fixture
def build(root: Path, monkeypatch: pytest.MonkeyPatch) -> Builds:
    return Builds(root, monkeypatch)


def test_what_is_remembered_is_not_read_again(build: Builds, reads: list[str]) -> None:
    first = build()
    assert first[0] == hashlib.sha256(b"content").hexdigest()
    assert sorted(reads) == ["a", "b", "c"]
    reads.clear()

    assert build() == first
    assert reads == []


def _rewrite(root: Path) -> None:
    """Same size, same mtime: the change time tells."""
    before = os.stat(root / "a")
    time.sleep(0.02)  # a tick of the file system's clock
    (root / "a").write_text("CONTENT")
    os.utime(root / "a", ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(root: Path) -> None:
    """Same size, same mtime, another inode."""
    (root / "new").write_text("CONTENT")
    shutil.copystat(root / "a", root / "new")
    (root / "new").rename(root / "a")


@pytest.mark.parametrize("change", [_rewrite, _replace])
def test_only_a_changed_file_is_read_again(
    root: Path, build: Builds, reads: list[str], change: Callable[[Path], None]
) -> None:
    digest, folders = build()
    reads.clear()
    change(root)

    again, other = build()
    assert again == hashlib.sha256(b"CONTENT").hexdigest() != digest
    assert reads == ["a"]
    assert other[0] != folders[0]
    assert other[1] == folders[1]


def test_what_has_just_changed_is_not_remembered(root: Path, build: Builds, reads: list[str]) -> None:
    """One file within the tick, in a directory of others: the others are remembered, and the directory is not."""
    build()
    os.utime(root / "b")
    reads.clear()

    for _ in range(2):
        build(ahead=0)
        assert "b" in reads
        assert not {"a", "c"} & set(reads)
        reads.clear()


def test_nothing_of_a_new_context_is_remembered(build: Builds) -> None:
    build(ahead=0)

    assert not build.directory.exists()


def test_a_change_in_the_same_tick_is_seen(root: Path, build: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two contents of one stat, on a file system whose clock ticks every 1.9 seconds."""
    listed, base = _native.list_directory, time.time_ns()

    def coarse(fd: int, path: bytes) -> tuple[bytes, bytes, bytes, bytes]:
        names, stats, others, their = listed(fd, path)
        words = array("q", their)
        for at in (6, 7):
            words[at::8] = array("q", [base + (word - base) // 1_900_000_000 * 1_900_000_000 for word in words[at::8]])
        return names, stats, others, words.tobytes()

    monkeypatch.setattr(_native, "list_directory", coarse)
    (root / "a").write_text("content")
    first = build(ahead=0)[1]
    (root / "a").write_text("CONTENT")

    assert build(ahead=0)[1][0] != first[0]


def _flip(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


DAMAGE: Sequence[Callable[[bytes], bytes]] = [
    lambda raw: b"",
    lambda raw: b"{}",
    lambda raw: raw[:-1],
    lambda raw: raw[:-72],
    lambda raw: raw + bytes(72),
    lambda raw: bytes(len(raw)),
    _flip,
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_costs_time_only(build: Builds, reads: list[str], damage: Callable[[bytes], bytes]) -> None:
    first = build()
    saved = sorted(build.directory.iterdir())
    assert len(saved) == 2
    for path in saved:
        path.write_bytes(damage(path.read_bytes()))
    reads.clear()

    assert build() == first
    assert sorted(reads) == ["a", "b", "c"]


@pytest.mark.parametrize("lost", ["files", "folders"])
def test_either_table_may_be_lost(build: Builds, reads: list[str], lost: str) -> None:
    first = build()
    (table,) = build.directory.glob(f"*.{lost}")
    table.unlink()
    reads.clear()

    assert build() == first
    assert set(reads) <= ({"a"} if lost == "files" else set())


def test_a_table_forgets_what_nobody_asks_for(tmp_path: Path) -> None:
    """Once that is most of it."""
    keys = [number.to_bytes(8, "big") for number in range(6000)]
    old = Table(str(tmp_path / "t"), 8)
    for key in keys:
        old.get(key)
        old.put(key, bytes(32))
    old.save()

    new = Table(str(tmp_path / "t"), 8)
    assert new.get(keys[0]) == bytes(32)
    new.get(b"newcomer")
    new.put(b"newcomer", b"\1" * 32)
    new.save(lambda: set(keys[:9]), 9)

    found = Table(str(tmp_path / "t"), 8)
    assert [key for key in (*keys, b"newcomer") if found.get(key)] == [*keys[:9], b"newcomer"]


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
@pytest.mark.parametrize("told", [0, 1 << 20, None])
def test_a_file_is_read_to_its_end(tmp_path: Path, size: int, told: int | None) -> None:
    """Whatever its stat says, as of files that a file system makes up."""
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    descriptor = os.open(tmp_path / "f", os.O_RDONLY)

    assert reading._sha256(descriptor, size if told is None else told) == hashlib.sha256(content).digest()
    os.close(descriptor)


def test_many_files_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads give each file its own digest."""
    monkeypatch.setattr(reading, "_FEW", 0)
    monkeypatch.setattr(reading, "_BATCH", 3)
    for directory in ("x", "y"):
        (tmp_path / directory).mkdir()
        for number in range(20):
            (tmp_path / directory / f"{number}").write_text(f"{directory}{number}")
    tree = ContextTree(str(tmp_path), Ignore(()))
    files = [file for folder in tree.walk("") for file in hashes._regular(folder)]
    expected = [hashlib.sha256(f"{file.directory}{file.name.decode()}".encode()).digest() for file in files]

    assert len(expected) == 40
    assert reading.read(tree, files) == expected
    tree.close()


def test_a_directory_that_is_swapped_meanwhile_is_not_remembered(root: Path, build: Builds) -> None:
    """Its files keep their times when it comes back: only the inode that is read tells."""
    (root / "e").mkdir()
    (root / "e/c").write_text("another")
    tree = ContextTree(str(root), Ignore(()))
    folders = tree.walk("")
    for one, other in (("d", "away"), ("e", "d"), ("away", "e")):
        (root / one).rename(root / other)
    found = FileHashes(str(build.directory), str(root))

    with pytest.raises(BuildError, match='"/d/c" was changed while it was being read'):
        found.contents(tree, folders)

    found.save()
    tree.close()
    for one, other in (("e", "away"), ("d", "e"), ("away", "d")):
        (root / one).rename(root / other)
    known = build()
    shutil.rmtree(build.directory)
    assert known == build()


def _random_change(root: Path, chance: random.Random) -> None:
    paths = [root, *(path for path in root.rglob("*") if not path.is_symlink())]
    files = [path for path in paths if path.is_file()]
    directory = chance.choice([path for path in paths if path.is_dir()])
    file, other = chance.choice(files), chance.choice(files)
    found = file.stat()
    match chance.randrange(9):
        case 0:
            file.write_bytes(chance.randbytes(found.st_size))
        case 1:  # as rsync --times does
            file.write_bytes(chance.randbytes(found.st_size))
            os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
        case 2:
            (directory / f"n{chance.randrange(99)}").write_bytes(chance.randbytes(3))
        case 3:
            file.chmod(chance.choice([0o600, 0o644, 0o755]))
        case 4 if other != file:
            file.replace(other)
            file.write_bytes(b"again")
        case 5 if directory != root:
            directory.rename(root / "moved")
            (root / "moved").rename(root / f"d{chance.randrange(9)}x{chance.randrange(10**6)}")
        case 6:
            (directory / f"s{chance.randrange(10**6)}").symlink_to(chance.choice(["a", "b"]))
        case 7:
            (directory / f"h{chance.randrange(10**6)}").hardlink_to(file)
        case _:
            (directory / f"d{chance.randrange(10**6)}").mkdir()


@pytest.mark.parametrize("seed", range(2))
def test_what_is_remembered_is_what_an_empty_table_gives(
    root: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """After any change, also where everything counts as settled at once."""
    chance = random.Random(seed)
    build = Builds(root, monkeypatch)
    for _ in range(25):
        for _ in range(chance.randrange(3)):
            _random_change(root, chance)
        (root / "a").touch()
        time.sleep(0.012)  # the clock of the file system has to tell one change from the next
        known = build()
        fresh = Builds(root, monkeypatch)
        fresh.directory = root.parent / "none"
        assert known == fresh()
        shutil.rmtree(fresh.directory, ignore_errors=True)


def test_what_cannot_be_read_is_named(root: Path) -> None:
    tree = ContextTree(str(root), Ignore(()))
    folders = tree.walk("")
    (root / "d/c").unlink()
    with pytest.raises(BuildError, match='cannot read "/d/c" of the build context'):
        FileHashes(str(root.parent / "hashes"), str(root)).contents(tree, folders)
    tree.close()


@pytest.fixture(autouse=True)
def _no_descriptor_is_left() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert len(os.listdir("/proc/self/fd")) == len(before)
