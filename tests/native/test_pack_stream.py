"""What packing gives to its caller, what it asks of the kernel, and how it fails."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from builder import _native
from builder.layers.tree import create_tree, open_tree
from tests.support import tars
from tests.support.trees import FAR, NATIVE

PIECE = 1 << 20

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is missing")


@pytest.fixture
def tree(tmp_path: Path) -> str:
    create_tree(str(tmp_path / "tree"))
    return str(tmp_path / "tree")


def pack(tree: str, write: Callable[[bytes], object]) -> int:
    descriptor = open_tree(tree)
    try:
        return _native.pack([descriptor], [], write, "recorded", FAR, True)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1536, PIECE - 1535, PIECE, 3 * PIECE + 7])
def test_pieces_are_of_one_mebibyte_but_the_last(tree: str, size: int) -> None:
    """Whoever compresses in blocks takes them as they are; at PIECE - 1536 the archive is one whole piece."""
    content = hashlib.shake_128(b"content").digest(size)
    Path(tree, "diff/file").write_bytes(content)
    pieces: list[bytes] = []

    assert pack(tree, pieces.append) == 1

    assert [len(piece) for piece in pieces[:-1]] == [PIECE] * (len(pieces) - 1)
    assert 0 < len(pieces[-1]) <= PIECE
    assert b"".join(pieces)[512 : 512 + size] == content


def test_what_the_caller_raises_ends_the_packing(tree: str) -> None:
    """A full disk or a stopped build is not read on for."""
    Path(tree, "diff/file").write_bytes(bytes(5 * PIECE))
    pieces: list[bytes] = []

    def write(piece: bytes) -> None:
        pieces.append(piece)
        if len(pieces) == 2:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        pack(tree, write)
    assert len(pieces) == 2


def test_a_file_that_shrinks_is_named(tree: str) -> None:
    """Its size is in the archive already; zeros in the place of what is gone would be a lie."""
    file = Path(tree, "diff/file")
    file.write_bytes(b"x" * (3 * PIECE))

    with pytest.raises(ValueError, match="shrank") as error:
        pack(tree, lambda piece: os.truncate(file, PIECE))
    assert error.value.args[1] == b"file"


def test_a_file_that_grows_is_what_it_was(tree: str) -> None:
    """As many bytes as its header says."""
    file = Path(tree, "diff/file")
    file.write_bytes(b"x" * (2 * PIECE))
    pieces: list[bytes] = []

    def write(piece: bytes) -> None:
        pieces.append(piece)
        with file.open("ab") as longer:
            longer.write(piece)

    pack(tree, write)

    assert tars.names(b"".join(pieces)) == ["file"]
    assert len(b"".join(pieces)) == 2 * PIECE + 1536


def test_a_directory_swapped_for_a_symlink_leads_nowhere(tree: str, tmp_path: Path) -> None:
    """K7: a second process moves what is being read; nothing outside the tree is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    Path(tree, "diff/a").write_bytes(b"x" * PIECE)
    Path(tree, "diff/b").mkdir()

    def swap(piece: bytes) -> None:
        if not Path(tree, "diff/b").is_symlink():
            Path(tree, "diff/b").rmdir()
            Path(tree, "diff/b").symlink_to(tmp_path / "outside")

    with pytest.raises(ValueError, match="changed") as error:
        pack(tree, swap)
    assert error.value.args[1] == b"b"


# ---- what it asks of the kernel ----

_PROGRAM = """
import os, sys
from builder.layers.pack import pack_diff

class Null:
    def write(self, data): pass

def pack(tree, *lowers):
    return pack_diff(tree, lowers, Null(), owners="recorded", clamp=2**40, compression="none", threads=1)

pack(sys.argv[1])
os.access("/begin", 0)
print(pack(*sys.argv[2:]).entries)
os.access("/end", 0)
"""


def traced(tmp_path: Path, *arguments: str, options: tuple[str, ...] = ()) -> tuple[str, list[str]]:
    """(output, system calls that touch files while the second tree is packed over the others)."""
    log = tmp_path / "strace"
    program = [sys.executable, "-c", _PROGRAM, *arguments]
    command = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=%file,%desc", *options, *program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    calls = re.sub(r".*/begin|/end.*", "", log.read_text(), flags=re.DOTALL)
    return done.stdout + done.stderr, calls.splitlines()


def base(tree: Path, files: int) -> str:
    """A tree of so many files, some symlinks of other owners among them, in a few directories."""
    names = [f"dir-{number % 7}/{number}".encode() for number in range(files)]
    links = [tars.symlink(name + b".link", b"target", uid=5) for name in names[::10]]
    return NATIVE.unpack(tars.archive(*map(tars.file, names), *links), tree, owners="recorded")


@needs_strace
@pytest.mark.parametrize("change", ["nothing", "a file"])
def test_the_base_costs_nothing(change: str, tree: str, tmp_path: Path) -> None:
    """B-T1: as many system calls over 5,000 files as over 200."""
    if change == "a file":
        Path(tree, "diff/dir-1").mkdir()
        Path(tree, "diff/dir-1/new").touch()
    bases = [base(tmp_path / str(files), files) for files in (200, 5_000)]

    runs = [traced(tmp_path, tree, tree, lower) for lower in bases]

    assert {output for output, _ in runs} == {"0\n" if change == "nothing" else "2\n"}
    assert len(runs[0][1]) == len(runs[1][1])
    assert 0 < len(runs[0][1]) < 60


@needs_strace
def test_a_file_costs_five_calls(tree: str, tmp_path: Path) -> None:
    """openat, fstat, flistxattr, read, close; and nothing for a lower view that is not there."""
    create_tree(str(tmp_path / "some"))
    for number in range(100):
        Path(tree, f"diff/{number}").write_bytes(b"content")

    calls = [len(traced(tmp_path, tree, other)[1]) for other in (str(tmp_path / "some"), tree)]

    assert calls[1] - calls[0] == 500


@needs_strace
def test_a_disk_that_fails_is_an_error_that_names_the_file(tree: str, tmp_path: Path) -> None:
    """EIO in the middle of a layer."""
    create_tree(str(tmp_path / "none"))
    Path(tree, "diff/file").write_bytes(b"x" * 100)

    failing = ("-P", f"{tree}/diff/file", "-e", "inject=read:error=EIO")
    output, _ = traced(tmp_path, str(tmp_path / "none"), tree, options=failing)

    assert "read: Input/output error: b'file'" in output


# ---- memory ----

_MEASURE = """
import os, resource, sys
from builder import _native
fd = os.open(sys.argv[1], os.O_RDONLY)
_native.pack([fd], [], len, "recorded", 2**40, True) if sys.argv[2:] else None
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak(*arguments: str) -> int:
    """Bytes."""
    return int(subprocess.run([sys.executable, "-c", _MEASURE, *arguments], capture_output=True, check=True).stdout)


def test_a_name_takes_a_few_bytes_of_memory(tree: str) -> None:
    """B-T5: a million in one directory have to fit into 128 MiB."""
    Path(tree, "diff/0").touch()
    for number in range(1, 40_000):
        os.link(f"{tree}/diff/0", f"{tree}/diff/{number}")

    assert peak(tree, "pack") - peak(tree) < 40_000 * 50 + 4 * PIECE


def test_a_large_file_takes_no_memory(tree: str) -> None:
    """B-T5."""
    with Path(tree, "diff/large").open("wb") as file:
        file.truncate(500 * PIECE)

    assert peak(tree, "pack") - peak(tree) < 4 * PIECE
