"""What unpacking asks of who feeds it, and what it remembers while it works."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder import _native
from builder.layers.tree import create_tree, open_tree, read_journal
from builder.layers.unpack import DEFAULT_LIMITS
from tests.support import tars
from tests.support.trees import NATIVE

Piece = bytes | bytearray | memoryview

ARCHIVE = tars.archive(
    tars.directory(b"d/", mtime=3), tars.file(b"d/f", b"content" * 500), tars.symlink(b"d/s", b"f", uid=7, gid=8)
)


@contextmanager
def opened(tree: Path) -> Iterator[int]:
    create_tree(str(tree))
    fd = open_tree(str(tree))
    yield fd
    os.close(fd)


def feed(read: Callable[[], Piece], tree: Path) -> tuple[int, int]:
    with opened(tree) as fd:
        return _native.unpack(read, fd, "recorded", True, DEFAULT_LIMITS[:6])[:2]


@pytest.mark.parametrize("size", [1, 511, 513, 1 << 20])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_pieces_may_be_of_any_size_and_kind(size: int, kind: Callable[[bytes], Piece], tmp_path: Path) -> None:
    pieces = (kind(ARCHIVE[at : at + size]) for at in range(0, len(ARCHIVE), size))

    assert feed(lambda: next(pieces, b""), tmp_path / "tree") == (3, 3500)
    assert (tmp_path / "tree" / "diff" / "d" / "f").read_bytes() == b"content" * 500
    assert next(pieces, b"") == b""


def test_the_archive_is_read_to_its_end_and_not_further(tmp_path: Path) -> None:
    """What follows the end of the tar belongs to the diff ID too."""
    pieces = [ARCHIVE, b"more", b"", b"never asked for"]

    feed(lambda: pieces.pop(0), tmp_path / "tree")

    assert pieces == [b"never asked for"]


@pytest.mark.parametrize("after", [0, 1, 700])
def test_what_reading_raises_comes_out_as_it_is(after: int, tmp_path: Path) -> None:
    """In the first header, and in the data of a file; with nothing on top of it."""
    wrong, start = OSError("the cable"), [ARCHIVE[:after]]

    def read() -> bytes:
        if start and start[0]:
            return start.pop()
        raise wrong

    with pytest.raises(OSError, match="the cable") as caught:
        feed(read, tmp_path / "tree")
    assert caught.value is wrong


def test_what_is_no_bytes_is_a_type_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="str"):
        feed(lambda: "text", tmp_path / "tree")  # type: ignore[arg-type, return-value]


def test_the_journal_has_the_last_word_of_every_path(tmp_path: Path) -> None:
    """Sorted; an owner that the disk can say needs no record; a hard link has its target's, then and not later."""
    tree = NATIVE.unpack(
        tars.archive(
            tars.symlink(b"z", b"t", uid=1),
            tars.symlink(b"twice", b"t", uid=2),
            tars.symlink(b"twice", b"t", uid=3),
            tars.hardlink(b"linked", b"twice"),
            tars.symlink(b"root-now", b"t", uid=4),
            tars.symlink(b"root-now", b"t"),
            tars.symlink(b"file-now", b"t", uid=5),
            tars.file(b"file-now", b""),
            tars.header(b"fifo", kind=b"6", mode=0o600, gid=6),
            tars.hardlink(b"plain", b"root-now"),
        ),
        tmp_path / "tree",
        owners="recorded",
    )

    records = read_journal(str(tree))

    assert list(records) == [b"fifo", b"linked", b"twice", b"z"]
    assert [(meta.uid, meta.gid) for meta in records.values()] == [(0, 6), (3, 0), (3, 0), (1, 0)]


def test_a_journal_is_kept_when_more_is_unpacked_over_it(tmp_path: Path) -> None:
    first = tars.archive(tars.symlink(b"a", b"t", uid=1), tars.symlink(b"b", b"t", uid=2))
    second = tars.archive(tars.symlink(b"a", b"t"), tars.hardlink(b"c", b"b"))
    for archive in (first, second):
        feed(iter([archive, b""]).__next__, tmp_path / "tree")
    assert {path: meta.uid for path, meta in read_journal(str(tmp_path / "tree")).items()} == {b"b": 2, b"c": 2}

    third = tars.archive(tars.symlink(b"b", b"t"), tars.file(b"c"))
    feed(iter([third, b""]).__next__, tmp_path / "tree")
    assert not (tmp_path / "tree" / "journal").exists()


def test_many_records_of_hard_links_to_symlinks(tmp_path: Path) -> None:
    """Enough for the table to grow several times, and to be searched each time."""
    parts = [tars.symlink(b"s%d" % number, b"t", uid=number % 7 + 1) for number in range(600)]
    parts += [tars.hardlink(b"h%d" % number, b"s%d" % number) for number in range(600)]

    records = read_journal(str(NATIVE.unpack(tars.archive(*parts), tmp_path / "tree", owners="recorded")))

    assert len(records) == 1200
    assert all(records[b"h%d" % number].uid == number % 7 + 1 for number in range(600))


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_chain_of_directories_goes_whatever_its_depth(few_descriptors: None, tmp_path: Path) -> None:
    """Symlinks lead to the end of each piece of it: no name is too deep, and the whole is."""
    step, parts = b"d/" * 200, []
    for number in range(6):
        parts += [tars.directory(b"s%d/" % (number - 1) * (number > 0) + step)]
        parts += [tars.symlink(b"s%d" % number, step * (number + 1))]
    parts += [tars.file(b"s5/file", b"deep"), tars.directory(b"d/d/side/"), tars.file(b"d", b"flat")]

    tree = NATIVE.unpack(tars.archive(*parts), tmp_path / "tree", owners="recorded")

    assert (Path(tree) / "diff" / "d").read_bytes() == b"flat"
    assert sorted(os.listdir(Path(tree) / "diff")) == ["d", *(f"s{number}" for number in range(6))]


def test_metadata_waits_for_directories_that_share_much_and_little(tmp_path: Path) -> None:
    """Their paths are kept as what differs from the one before."""
    names = [b"a", b"a/b", b"a/b/c", b"a/bc", b"ab", b"a", b"b", b"b/a/b/c", b"b/a"]
    parts = [tars.directory(name + b"/", mode=0o700 + number, mtime=number + 1) for number, name in enumerate(names)]

    tree = Path(NATIVE.unpack(tars.archive(*parts), tmp_path / "tree", owners="recorded")) / "diff"

    last = {name: number for number, name in enumerate(names)}
    found = {name: os.stat(tree / name.decode()) for name in last}
    assert {name: stat.S_IMODE(st.st_mode) - 0o700 for name, st in found.items()} == last
    assert {name: st.st_mtime_ns // 10**9 - 1 for name, st in found.items()} == last


@pytest.mark.parametrize("target", [b"d", b"missing", b"file"])
def test_whiteouts_below_a_link_that_leads_nowhere_hide_nothing(target: bytes, tmp_path: Path) -> None:
    """As umoci writes them where a link replaces a directory."""
    parts = tars.file(b"file"), tars.symlink(b"d", target), tars.file(b"d/.wh.x")

    tree = Path(NATIVE.unpack(tars.archive(*parts), tmp_path / "tree", owners="recorded"))

    assert sorted(os.listdir(tree / "diff")) == ["d", "file"]
