"""Looking paths up in layers before they are mounted must agree with what overlay will show."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from builder.errors import SandboxError
from builder.sandbox.stubs import layer, missing
from builder.sandbox.view import Place, locate

if TYPE_CHECKING:
    from pathlib import Path


def make(root: Path, *names: str) -> str:
    """A layer: "a/" is a directory, "a -> b" a link, "!a" a whiteout, "a/@" makes a opaque, else a file."""
    root.mkdir()
    for name in names:
        link, _, text = name.partition(" -> ")
        path = root / link.lstrip("!").removesuffix("@")
        path.parent.mkdir(parents=True, exist_ok=True)
        if text:
            path.symlink_to(text)
        elif name.startswith("!"):
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(0, 0))
        elif name.endswith("@"):
            path.mkdir(exist_ok=True)
            os.setxattr(path, "user.overlay.opaque", b"y")
        elif name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.touch()
    return str(root)


@pytest.mark.parametrize(
    ("upper", "lower", "path", "expected", "kind", "is_open"),
    [
        ((), (), "/etc/hosts", "/etc/hosts", 0, True),
        ((), ("etc/",), "/etc/hosts", "/etc/hosts", 0, True),
        ((), ("etc/hosts",), "/etc/hosts", "/etc/hosts", stat.S_IFREG, False),
        (("etc/",), ("etc/hosts",), "/etc/hosts", "/etc/hosts", stat.S_IFREG, False),
        (("!etc/hosts",), ("etc/hosts",), "/etc/hosts", "/etc/hosts", 0, False),
        (("!etc/hosts",), ("etc/",), "/etc/hosts", "/etc/hosts", 0, False),
        (("etc/@",), ("etc/hosts",), "/etc/hosts", "/etc/hosts", 0, False),
        (("!etc",), ("etc/hosts",), "/etc/hosts", "/etc/hosts", 0, False),
        (("etc",), ("etc/hosts",), "/etc/hosts", "/etc/hosts", 0, False),
        (("etc -> usr/etc",), ("usr/etc/hosts",), "/etc/hosts", "/usr/etc/hosts", stat.S_IFREG, False),
        (("etc -> /usr/etc",), (), "/etc/hosts", "/usr/etc/hosts", 0, True),
        ((), ("etc/hosts -> ../run/hosts",), "/etc/hosts", "/run/hosts", 0, True),
        ((), ("etc/hosts -> ../../../../run/hosts",), "/etc/hosts", "/run/hosts", 0, True),
        ((), ("dev -> /",), "/dev", "/", stat.S_IFDIR, False),
        ((), ("a -> none/../b", "b/"), "/a", "/none/../b", 0, False),
        (("a/x",), ("a/y",), "/a/y", "/a/y", stat.S_IFREG, False),
        (("a/",), ("a",), "/a/y", "/a/y", 0, False),
    ],
)
def test_locate(
    tmp_path: Path,
    upper: tuple[str, ...],
    lower: tuple[str, ...],
    path: str,
    expected: str,
    kind: int,
    is_open: bool,
) -> None:
    """Whiteouts, opaque directories, files in the way and links, across two layers."""
    layers = [make(tmp_path / "upper", *upper), make(tmp_path / "lower", *lower)]
    place = locate(layers, path)

    assert (place.path, stat.S_IFMT(place.mode), place.open) == (expected, kind, is_open)


def test_loops_are_errors(tmp_path: Path) -> None:
    """Not endless."""
    with pytest.raises(SandboxError, match="/a/x"):
        locate([make(tmp_path / "layer", "a -> b", "b -> a")], "/a/x")


def test_links_never_lead_to_the_host(tmp_path: Path) -> None:
    """A link to a path that exists on the host is resolved in the layers, where it does not."""
    assert locate([make(tmp_path / "layer", "dev -> /usr")], "/dev") == Place("/usr", 0, True)


def test_stub_layer_holds_exactly_the_stubs_and_is_made_once(tmp_path: Path) -> None:
    """With fixed modes and times, whatever the umask."""
    stubs = (("/dev", True), ("/etc/hosts", False))
    before = os.umask(0o077)
    try:
        path = layer(str(tmp_path / "stubs"), stubs)
    finally:
        os.umask(before)
    found = {os.path.relpath(os.path.join(top, n), path) for top, d, f in os.walk(path) for n in d + f}

    assert found == {"dev", "etc", "etc/hosts"}
    assert stat.S_IMODE(os.stat(f"{path}/etc").st_mode) == 0o755
    assert os.stat(f"{path}/etc/hosts").st_mtime == 0
    assert layer(str(tmp_path / "stubs"), stubs) == path
    assert os.listdir(tmp_path / "stubs") == [os.path.basename(path)]
    assert layer(str(tmp_path / "stubs"), stubs[:1]) != path


def test_what_is_missing_is_asked_of_the_merged_view(tmp_path: Path) -> None:
    """Only what no layer has, at the place where its links lead."""
    layers = [make(tmp_path / "upper", "proc/"), make(tmp_path / "lower", "etc/hosts -> /run/hosts", "sys/")]
    points = (("/proc", True), ("/sys", True), ("/dev", True), ("/etc/hosts", False))

    assert missing(layers, points) == (("/dev", True), ("/run/hosts", False))


def test_a_directory_that_cannot_be_a_mount_point_is_an_error(tmp_path: Path) -> None:
    """It names the path and what is wrong with it."""
    with pytest.raises(SandboxError, match="cannot mount /proc: the image deletes /proc"):
        missing([make(tmp_path / "one", "!proc")], (("/proc", True),))
    with pytest.raises(SandboxError, match="something else than a directory at /proc"):
        missing([make(tmp_path / "two", "proc")], (("/proc", True),))
