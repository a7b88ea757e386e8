"""What a step's key depends on: everything that changes the result, and nothing else."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from builder.building import build
from builder.graph.ops import CopyOp, CopySource, ExecOp, InlineFile, MkdirOp
from builder.request import BuildRequest
from builder.solver import keys
from tests.support import setup_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONTEXT = r"""
file Dockerfile 0644 "FROM scratch\nCOPY dir /dir\nCOPY one* /\n"
file .dockerignore 0644 "**/ignored\n"
file dir/a 0644 "content"
file dir/b 0644 "content"
file dir/sub/c 0644 "c"
file dir/ignored 0644 "1"
link dir/l a
fifo dir/p 0644
file one.txt 0644 "1"
file beside 0644 "1"
"""


def _flip_a_byte(context: Path) -> None:
    """Size and mtime stay."""
    file = context / "dir/a"
    before = file.stat()
    file.write_text("contenT")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _retarget(context: Path) -> None:
    (context / "dir/l").unlink()
    (context / "dir/l").symlink_to("b")


def _link_hard(context: Path) -> None:
    (context / "dir/b").unlink()
    (context / "dir/b").hardlink_to(context / "dir/a")


def _become_directory(context: Path) -> None:
    (context / "dir/a").unlink()
    (context / "dir/a").mkdir()


def _replace_by_copy(context: Path) -> None:
    shutil.copy2(context / "dir/a", context / "copy")
    (context / "copy").rename(context / "dir/a")


def _rewrite_dockerfile(context: Path) -> None:
    (context / "Dockerfile").write_text("# words\nFROM   scratch AS named\n\ncopy \\\n dir /dir\nCOPY one* /\n")


MISSES: dict[str, Callable[[Path], object]] = {
    "byte": _flip_a_byte,
    "mode": lambda context: (context / "dir/a").chmod(0o600),
    "mode of a directory": lambda context: (context / "dir/sub").chmod(0o700),
    "mode of a fifo": lambda context: (context / "dir/p").chmod(0o600),
    "name": lambda context: (context / "dir/a").rename(context / "dir/z"),
    "link target": _retarget,
    "added file": lambda context: (context / "dir/new").touch(),
    "added directory": lambda context: (context / "dir/sub/new").mkdir(),
    "added match": lambda context: (context / "one.more").touch(),
    "removed file": lambda context: (context / "dir/sub/c").unlink(),
    "hard link": _link_hard,
    "type": _become_directory,
    "xattr": lambda context: os.setxattr(context / "dir/a", "user.more", b"1"),
    "xattr of a directory": lambda context: os.setxattr(context / "dir/sub", "user.more", b"1"),
    "xattr of a file by name": lambda context: os.setxattr(context / "one.txt", "user.more", b"1"),
    "no longer ignored": lambda context: (context / ".dockerignore").write_text(""),
}
HITS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda context: None,
    "mtime": lambda context: os.utime(context / "dir/a", (1, 1)),
    "mtime of a directory": lambda context: os.utime(context / "dir/sub", (1, 1)),
    "inode": _replace_by_copy,
    "ignored file": lambda context: (context / "dir/ignored").write_text("2"),
    "file beside": lambda context: (context / "beside").write_text("2"),
    "link count": lambda context: (context / "another").hardlink_to(context / "dir/a"),
    "mode of the source's top": lambda context: (context / "dir").chmod(0o700),
    "xattr of the source's top": lambda context: os.setxattr(context / "dir", "user.more", b"1"),
    "layout of the Dockerfile": _rewrite_dockerfile,
}


def _executed(context: Path, store: Path) -> int:
    return build(BuildRequest(str(context), store=str(store), isolation="none")).executed


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Built once, into the store beside it."""
    (tmp_path / "context").mkdir()
    setup_text.make(CONTEXT, tmp_path / "context")
    assert _executed(tmp_path / "context", tmp_path / "store") == 2
    return tmp_path / "context"


@pytest.mark.parametrize("change", MISSES.values(), ids=MISSES.keys())
def test_copy_runs_again(context: Path, change: Callable[[Path], object]) -> None:
    change(context)

    assert _executed(context, context.parent / "store") > 0


@pytest.mark.parametrize("change", HITS.values(), ids=HITS.keys())
def test_copy_is_found(context: Path, change: Callable[[Path], object]) -> None:
    change(context)

    assert _executed(context, context.parent / "store") == 0


def test_copy_is_found_from_another_checkout(context: Path) -> None:
    elsewhere = context.parent / "elsewhere"
    context.rename(elsewhere)

    assert _executed(elsewhere, context.parent / "store") == 0


EXEC = ExecOp("root", ("sh", "-c", "x"), (("A", "1"),), "/", "", "host", "h")
COPY = CopyOp("root", (CopySource("src", ("a",)),), (), "/", None, None, (), True)
MKDIR = MkdirOp("root", "/w", "")


@pytest.mark.parametrize(
    "changed",
    [
        EXEC._replace(argv=("sh", "-c x")),
        EXEC._replace(env=(("A", "2"),)),
        EXEC._replace(env=()),
        EXEC._replace(cwd="/w"),
        EXEC._replace(user="1"),
        EXEC._replace(network="none"),
        EXEC._replace(hostname="other"),
        EXEC._replace(scripts=(("E", "text"),)),
    ],
)
def test_run_depends_on_every_field(changed: ExecOp) -> None:
    assert keys.plain_key(changed, ["k"]) != keys.plain_key(EXEC, ["k"])


@pytest.mark.parametrize(
    "changed",
    [
        COPY._replace(sources=(CopySource("src", ("b",)),)),
        COPY._replace(files=(InlineFile("E", "x"),)),
        COPY._replace(dest="/d"),
        COPY._replace(chown="1"),
        COPY._replace(chmod="600"),
        COPY._replace(exclude=("x",)),
        COPY._replace(sources=(CopySource("src", ("a",), True),)),
        COPY._replace(parents=True),
        COPY._replace(keep_owner=False),
    ],
)
def test_copy_depends_on_every_field(changed: CopyOp) -> None:
    assert keys.plain_key(changed, ["k", "s"]) != keys.plain_key(COPY, ["k", "s"])


def test_steps_depend_on_their_inputs() -> None:
    for op, inputs in ((EXEC, ["k"]), (COPY, ["k", "s"]), (MKDIR, ["k"])):
        for number in range(len(inputs)):
            other = [*inputs]
            other[number] = "other"
            assert keys.plain_key(op, other) != keys.plain_key(op, inputs)
    assert keys.plain_key(COPY, ["k", "s"]) != keys.plain_key(COPY, ["s", "k"])
