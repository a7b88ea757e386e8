"""What packing gives to its caller, what it asks of the kernel, and how it fails."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from builder import _native
from builder.layers.tree import create_tree, open_tree
from tests.support import tars
from tests.support.tools import need_tool
from tests.support.trees import FAR, NATIVE

PIECE = 1 << 20


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


@pytest.mark.parametrize("hole", [0, PIECE])
def test_a_file_that_shrinks_is_named(hole: int, tree: str) -> None:
    """Its size is in the archive already; zeros in the place of what is gone would be a lie."""
    file = Path(tree, "diff/file")
    with file.open("wb") as written:
        written.write(b"x" * PIECE)
        written.seek(hole, os.SEEK_CUR)
        written.write(b"x" * (2 * PIECE))

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
    command = [need_tool("strace"), "-f", "-qq", "-o", str(log), "-e", "trace=%file,%desc", *options, *program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr:
        pytest.skip("this host does not let processes be traced")
    calls = re.sub(r".*/begin|/end.*", "", log.read_text(), flags=re.DOTALL)
    return done.stdout + done.stderr, calls.splitlines()


def base(tree: Path, files: int) -> str:
    """A tree of so many files, some symlinks of other owners among them, in a few directories."""
    names = [f"dir-{number % 7}/{number}".encode() for number in range(files)]
    links = [tars.symlink(name + b".link", b"target", uid=5) for name in names[::10]]
    return NATIVE.unpack(tars.archive(*map(tars.file, names), *links), tree, owners="recorded")


def test_the_base_costs_nothing(tree: str, tmp_path: Path) -> None:
    """B-T1: as many system calls over 5,000 files as over 200, for no change and for a new file."""
    bases = [base(tmp_path / str(files), files) for files in (200, 5_000)]

    nothing = [traced(tmp_path, tree, tree, lower) for lower in bases]
    Path(tree, "diff/dir-1").mkdir()
    Path(tree, "diff/dir-1/new").touch()
    change = [traced(tmp_path, tree, tree, lower) for lower in bases]

    assert [output for output, _ in (*nothing, *change)] == ["0\n", "0\n", "2\n", "2\n"]
    assert 0 < len(nothing[0][1]) == len(nothing[1][1]) < 30
    assert len(nothing[0][1]) < len(change[0][1]) == len(change[1][1]) < 50


def test_a_file_costs_five_calls(tree: str, tmp_path: Path) -> None:
    """openat, fstat, flistxattr, read, close; and nothing for a lower view that is not there."""
    create_tree(str(tmp_path / "some"))
    for number in range(100):
        Path(tree, f"diff/{number}").write_bytes(b"content")

    calls = [len(traced(tmp_path, tree, other)[1]) for other in (str(tmp_path / "some"), tree)]

    assert (calls[1] - calls[0]) // 100 == 5


def test_a_disk_that_fails_is_an_error_that_names_the_file(tree: str, tmp_path: Path) -> None:
    """EIO in the middle of a layer."""
    create_tree(str(tmp_path / "none"))
    Path(tree, "diff/file").write_bytes(b"x" * 100)

    failing = ("-P", f"{tree}/diff/file", "-e", "inject=read:error=EIO")
    output, _ = traced(tmp_path, str(tmp_path / "none"), tree, options=failing)

    assert "read: Input/output error: b'file'" in output
