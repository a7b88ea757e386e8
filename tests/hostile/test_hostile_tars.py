"""Nothing outside the root is ever touched, whatever an archive says; the error names the entry."""

from __future__ import annotations

import io
import os
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import ArchiveError
from builder.layers.unpack import DEFAULT_LIMITS, unpack
from tests.hostile.corpus import CANARY, Hostile, by_tarfile, corpus
from tests.support import tars
from tests.support.trees import EACH_OWNERS, Owners

CORPUS = corpus()
EACH = pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: hostile.name)
RESOLVERS = pytest.mark.parametrize("force_walk", [False, True], ids=["openat2", "walk"])


def look(top: Path) -> list[tuple[object, ...]]:
    """All that an intruder could have changed beside the tree."""
    seen: list[tuple[object, ...]] = []
    for path in [top, top / "canary", *sorted((top / "canary").rglob("*"))]:
        st = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        xattrs = sorted(os.listxattr(path))
        seen.append((path, st.st_mode, st.st_uid, st.st_nlink, st.st_mtime_ns, st.st_ino, content, xattrs))
    return seen


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    """A directory with the tree to be, and a canary where `CANARY` leads to."""
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary/file").write_bytes(b"alive")
    (tmp_path / "tree/diff").mkdir(parents=True)
    before = look(tmp_path)
    yield tmp_path
    assert look(tmp_path) == before
    assert not os.path.lexists("/tmp/rbuild-absolute-canary")


def test_the_corpus_is_large_and_would_work_on_a_careless_reader(top: Path) -> None:
    """At least 40 archives (K7), and `CANARY` is where the canary is."""
    assert len(CORPUS) >= 40
    assert (top / "tree/diff" / CANARY.decode()).read_bytes() == b"alive"


@EACH
@RESOLVERS
@EACH_OWNERS
def test_nothing_outside_is_touched(hostile: Hostile, force_walk: bool, owners: Owners, top: Path) -> None:
    """K7, K8: an error that says what, or a tree with everything inside."""
    try:
        unpack(io.BytesIO(hostile.tar), str(top / "tree"), owners=owners, force_walk=force_walk)
    except ArchiveError as error:
        assert hostile.error is not None, error
        assert hostile.error == "" or pytest.raises(ArchiveError, match=hostile.error).matches(error)
    else:
        assert not hostile.error


@RESOLVERS
def test_a_climbing_name_of_another_writer(force_walk: bool, top: Path) -> None:
    """The corpus is made by our own hands; this one is not."""
    with pytest.raises(ArchiveError, match=r"'\.\./\.\./canary/file': a name that climbs out"):
        unpack(io.BytesIO(by_tarfile()), str(top / "tree"), owners="recorded", force_walk=force_walk)


@RESOLVERS
def test_symlinked_parents_are_followed_inside(force_walk: bool, top: Path) -> None:
    """usr-merge: absolute, relative and climbing targets all mean the root of the archive."""
    tar = tars.archive(
        tars.directory(b"usr/lib/"),
        tars.symlink(b"lib", b"usr/lib"),
        tars.symlink(b"abs", b"/usr/lib"),
        tars.symlink(b"usr/up", b"../../../../usr/lib"),
        tars.file(b"lib/a"),
        tars.file(b"abs/b"),
        tars.file(b"usr/up/c"),
        tars.symlink(b"abs/link", b"x", uid=5),
    )

    unpack(io.BytesIO(tar), str(top / "tree"), owners="recorded", force_walk=force_walk)

    assert sorted(os.listdir(top / "tree/diff/usr/lib")) == ["a", "b", "c", "link"]
    assert (top / "tree/journal").read_bytes() == b"usr/lib/link\x00120777 5 0 0:0\0"


@RESOLVERS
def test_a_swapping_neighbour_never_leads_out(force_walk: bool, top: Path) -> None:
    """K7, K2: somebody renames a symlink and a directory of the tree to and fro while we unpack through it."""
    diff = top / "tree/diff"
    (diff / "d").mkdir()
    (diff / "s").symlink_to("../../canary")
    stop = threading.Event()

    def swap() -> None:
        names = [("d", "t"), ("s", "d"), ("d", "s"), ("t", "d")]
        while not stop.is_set():
            for old, new in names:
                try:
                    os.rename(diff / old, diff / new)
                except OSError:
                    pass  # the archive was there in between
            for name in ("d", "s"):
                if not os.path.lexists(diff / name):
                    (diff / name).symlink_to("../../canary")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(150):
            tar = tars.archive(*(part for i in range(4) for part in (tars.file(b"d/file"), tars.file(b"x%d" % i))))
            try:
                unpack(io.BytesIO(tar), str(top / "tree"), owners="recorded", force_walk=force_walk)
            except ArchiveError:
                pass
    finally:
        stop.set()
        swapper.join()


def test_a_plain_tar_may_not_name_whiteouts(top: Path) -> None:
    """ADD of an archive: its `.wh.` files would turn into deletions in the layer."""
    for name in (b".wh.x", b"d/.wh..wh..opq", b".wh.d/x"):
        with pytest.raises(ArchiveError, match=r"begins with \.wh\."):
            unpack(io.BytesIO(tars.archive(tars.file(name))), str(top / "tree"), owners="recorded", whiteouts="literal")


LIMITS = {
    "entries": (DEFAULT_LIMITS._replace(entries=5), [tars.file(b"%d" % i) for i in range(6)], "too many entries"),
    "bytes": (DEFAULT_LIMITS._replace(bytes=10), [tars.file(b"a", b"123456"), tars.file(b"b", b"12345")], "'b': more"),
    "header": (
        DEFAULT_LIMITS._replace(header_bytes=50),
        [tars.pax({b"comment": b"c" * 60}) + tars.file(b"a")],
        "too large",
    ),
    "headers without files": (
        DEFAULT_LIMITS._replace(entries=50),
        [tars.pax({b"comment": b"c"}, kind) for kind in (b"x", b"g") for _ in range(40)],
        "too many",
    ),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_limits(limit: str, top: Path) -> None:
    """K14: what an archive may ask for is bounded."""
    limits, parts, error = LIMITS[limit]

    with pytest.raises(ArchiveError, match=error):
        unpack(io.BytesIO(tars.archive(*parts)), str(top / "tree"), owners="recorded", limits=limits)


class Bomb:
    """A gzip stream of one member with as many zeros as anybody wants to read."""

    def __init__(self) -> None:
        deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
        head = tars.header(b"zeros", size=1 << 39)
        self._next = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
        self._again = deflate.compress(bytes(1 << 22)) + deflate.flush(zlib.Z_FULL_FLUSH)

    def read(self, size: int = -1, /) -> bytes:
        data, self._next = self._next, self._again
        return data


def test_a_bomb_ends_soon_and_takes_no_room(top: Path) -> None:
    """K14: fails in seconds, by the ratio of what comes out to what goes in."""
    started = time.monotonic()

    with pytest.raises(ArchiveError, match="times its size"):
        unpack(Bomb(), str(top / "tree"), owners="recorded", limits=DEFAULT_LIMITS._replace(ratio=500))

    assert time.monotonic() - started < 30
    assert os.stat(top / "tree/diff/zeros").st_blocks * 512 < 1 << 20
