"""Nothing outside the root is ever touched, whatever an archive says; the error names the entry."""

from __future__ import annotations

import ctypes
import io
import mmap
import os
import re
import resource
import shutil
import signal
import time
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from builder.errors import ArchiveError, StoreError
from builder.layers.pack import pack_view
from builder.layers.unpack import DEFAULT_LIMITS, unpack
from tests.hostile.corpus import CANARY, Hostile, by_tarfile, corpus, write_corpus
from tests.support import tars
from tests.support.forked import forked
from tests.support.trees import EACH_OWNERS, Owners

CORPUS = corpus()
# Those that take seconds: of each, once is enough.
RENAME_EXCHANGE = 2
LARGE = [hostile for hostile in CORPUS if "bomb" in hostile.name or "thousand" in hostile.name]
SMALL = [hostile for hostile in CORPUS if hostile not in LARGE]
RESOLVERS = pytest.mark.parametrize("force_walk", [False, True], ids=["openat2", "walk"])
# Errors of the stream as a whole, which have no entry to name.
OF_THE_STREAM = r"stream|not a tar header|ends (in|after) (a|the)|ends after an|times its size|too many entries"
MEMORY = 320 << 20  # address space for one unpack, of which three threads' stacks and zstd's largest window are 150


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
    """At least 60 archives (K7), and `CANARY` is where the canary is."""
    assert len({hostile.name for hostile in CORPUS}) == len(CORPUS) >= 250
    assert (top / "tree/diff" / CANARY.decode()).read_bytes() == b"alive"


def test_the_corpus_can_be_published(tmp_path: Path) -> None:
    write_corpus(str(tmp_path), CORPUS)
    listed = [line.split("\t") for line in (tmp_path / "INDEX").read_text().splitlines()]
    assert sorted(name for name, _ in listed) == sorted(
        path.name for path in tmp_path.iterdir() if path.name != "INDEX"
    )
    assert {must.partition(":")[0] for _, must in listed} == {"inside", "error"}


def check(hostile: Hostile, top: Path, owners: Owners = "recorded", force_walk: bool = False) -> None:
    """The error that is due, or a tree that can be packed and removed."""
    tree = top / "tree"
    try:
        unpack(io.BytesIO(hostile.tar), str(tree), owners=owners, force_walk=force_walk)
    except (ArchiveError, StoreError) as error:  # ext4 calls its room for xattrs a device
        assert hostile.error is not None, error
        assert hostile.error == "" or re.search(hostile.error, error.message)
        assert re.match(r"(cannot unpack )?'.*': ", error.message, re.DOTALL) or re.search(OF_THE_STREAM, error.message)
        assert len(error.message) < 500 and error.message.isprintable()
    else:
        assert not hostile.error
        pack_view([str(tree)], io.BytesIO(), owners=owners, clamp=0)
    for path in tree.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("hostile", SMALL, ids=lambda hostile: hostile.name)
@EACH_OWNERS
def test_nothing_outside_is_touched(hostile: Hostile, owners: Owners, top: Path) -> None:
    """K7, K8: an error that says what, or a tree with everything inside."""
    for force_walk in (False, True):
        check(hostile, top, owners, force_walk)


def bounded(hostile: Hostile, top: Path) -> float:
    """Unpack in a process that can have little memory; how many seconds of CPU it took."""

    def small() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        started = time.process_time()
        check(hostile, top)
        return time.process_time() - started

    return forked(small)


@pytest.mark.parametrize(
    "name", ["zstd-bomb", "zstd-window-of-128-mib", "pax-ten-thousand-xattrs", "long-name-of-4-gib"]
)
def test_memory_is_bounded(name: str, top: Path) -> None:
    """K14: what an archive announces is not believed."""
    bounded(next(hostile for hostile in CORPUS if hostile.name == name), top)


@pytest.mark.torture
@pytest.mark.parametrize("hostile", LARGE, ids=lambda hostile: hostile.name)
def test_bombs_end_soon_in_little_memory(hostile: Hostile, top: Path) -> None:
    """K14: seconds of CPU, not of a clock that other processes stop."""
    assert bounded(hostile, top) < 10


@pytest.mark.torture
def test_a_million_entries_take_little_memory(top: Path) -> None:
    """Each of another name, in a thousand directories, and the journal must remember all."""
    entries = (b"d%d/%s" % (number // 1000, b"n" * 50 + b"%d" % number) for number in range(1_000_000))

    class Endless:
        def read(self, size: int = -1, /) -> bytes:
            return b"".join(tars.symlink(name, b"x", uid=7) for name in islice(entries, 2000))

    def small() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + 2 * MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        assert unpack(Endless(), str(top / "tree"), owners="recorded").entries == 1_000_000

    forked(small)


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


def swap_until_killed(diff: Path, counter: mmap.mmap) -> None:
    """The directory d and the symlink s change places, as fast as a process can."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open(diff, os.O_RDONLY)
    while True:
        libc.renameat2(here, b"d", here, b"s", RENAME_EXCHANGE)
        counter[:8] = (int.from_bytes(counter[:8], "little") + 1).to_bytes(8, "little")


@RESOLVERS
@EACH_OWNERS
def test_a_swapping_neighbour_never_leads_out(force_walk: bool, owners: Owners, top: Path) -> None:
    """K7, K2: another process swaps a directory and a symlink to the canary while we unpack through them."""
    diff = top / "tree/diff"
    (diff / "d").mkdir()
    (diff / "s").symlink_to("../../canary")
    counter = mmap.mmap(-1, 8)
    pid = os.fork()
    if pid == 0:
        swap_until_killed(diff, counter)
    names = [b"d/file", b"x", b"d/new/", b"y", b"d/.wh.file", b"d/e/f"]
    tar = tars.archive(*(tars.directory(name) if name.endswith(b"/") else tars.file(name) for name in names * 5))
    outcomes, swaps = [0, 0], 0
    try:
        for _ in range(150):
            before = counter[:8]
            try:
                unpack(io.BytesIO(tar), str(top / "tree"), owners=owners, force_walk=force_walk)
                outcomes[0] += 1
            except ArchiveError:
                outcomes[1] += 1
            swaps += int.from_bytes(counter[:8], "little") - int.from_bytes(before, "little")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    assert swaps > 150, "the neighbour did not swap while we unpacked"
    assert outcomes[1], f"no unpack met a symlink: {outcomes}"


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
