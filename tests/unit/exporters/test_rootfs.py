"""The root file system itself as an output: a plain tar, and a directory that may hold anything already (K15)."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from builder.errors import ExportError
from builder.exporters.exporter import Rootfs, StoredImage
from builder.exporters.rootfs import LocalExporter, TarExporter
from builder.layers.tree import create_tree
from builder.snapshots.snapshot import Snapshot

EPOCH = 1_000_000_000


@pytest.fixture
def rootfs(tmp_path: Path) -> Rootfs:
    """Two trees: the upper one hides /gone and adds to /dir."""
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for tree in (lower, upper):
        create_tree(str(tree))
        (tree / "diff/dir").mkdir()
    (lower / "diff/gone").write_text("hidden")
    (lower / "diff/dir/old").write_text("old\n")
    (upper / "diff/dir/new").write_text("new\n")
    (upper / "diff/dir/new").chmod(0o4751)
    (upper / "diff/link").symlink_to("/etc/passwd")
    os.mkfifo(upper / "diff/fifo", 0o640)
    os.mknod(upper / "diff/gone", 0o020000, 0)
    snapshot = Snapshot((str(upper), str(lower)))
    return Rootfs(lambda: snapshot, lambda: "recorded", EPOCH)


def listing(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def test_a_tar_holds_the_merged_view_whether_to_a_file_or_to_standard_output(
    image: StoredImage, rootfs: Rootfs, tmp_path: Path
) -> None:
    out = io.BytesIO()
    TarExporter("-", [("", rootfs)]).export(image, out)
    TarExporter(str(tmp_path / "r.tar"), [("", rootfs)]).export(image, io.BytesIO())

    assert out.getvalue() == (tmp_path / "r.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        members = {member.name: member for member in archive}
    assert sorted(members) == ["dir", "dir/new", "dir/old", "fifo", "link"]
    assert max(member.mtime for member in members.values()) <= EPOCH


def test_a_directory_holds_the_merged_view(image: StoredImage, rootfs: Rootfs, tmp_path: Path) -> None:
    dest = tmp_path / "deep" / "dest"
    LocalExporter(str(dest), [("", rootfs)]).export(image, io.BytesIO())

    assert listing(dest) == {"dir", "dir/new", "dir/old", "fifo", "link"}
    assert (dest / "dir/new").read_text() == "new\n"
    assert (dest / "link").readlink() == Path("/etc/passwd")
    assert (dest / "dir/new").stat().st_mtime <= EPOCH


def test_programs_in_a_directory_gain_no_rights(image: StoredImage, rootfs: Rootfs, tmp_path: Path) -> None:
    LocalExporter(str(tmp_path / "dest"), [("", rootfs)]).export(image, io.BytesIO())

    assert (tmp_path / "dest/dir/new").stat().st_mode & 0o7777 == 0o751


@pytest.mark.parametrize("place", ["dir", "dir/new", "link", "fifo"])
def test_links_in_the_destination_are_replaced_and_never_followed_k15(
    image: StoredImage, rootfs: Rootfs, tmp_path: Path, place: str
) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("untouched")
    dest = tmp_path / "dest"
    (dest / place).parent.mkdir(parents=True)
    (dest / place).symlink_to(canary if place == "dir" else canary / "file")

    LocalExporter(str(dest), [("", rootfs)]).export(image, io.BytesIO())

    assert listing(canary) == {"file"}
    assert (canary / "file").read_text() == "untouched"
    assert listing(dest) == {"dir", "dir/new", "dir/old", "fifo", "link"}
    assert not (dest / "dir").is_symlink()


def test_other_files_of_the_destination_stay(image: StoredImage, rootfs: Rootfs, tmp_path: Path) -> None:
    (tmp_path / "dest/dir").mkdir(parents=True)
    (tmp_path / "dest/dir/mine").write_text("mine")
    LocalExporter(str(tmp_path / "dest"), [("", rootfs)]).export(image, io.BytesIO())

    assert (tmp_path / "dest/dir/mine").read_text() == "mine"


def test_a_directory_in_the_way_of_a_file_is_an_error_that_names_it(
    image: StoredImage, rootfs: Rootfs, tmp_path: Path
) -> None:
    (tmp_path / "dest/dir/new").mkdir(parents=True)

    with pytest.raises(ExportError, match="'new' is a directory in the destination"):
        LocalExporter(str(tmp_path / "dest"), [("", rootfs)]).export(image, io.BytesIO())
