"""Images that try to get out: K1 and K9. A canary outside must stay as it is, whatever happens."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from builder.errors import SandboxError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.rootfs import Place

MOUNT_TARGETS = ("dev", "proc", "sys", "etc", "etc/resolv.conf", "etc/hosts")


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    directory = tmp_path / "canary"
    directory.mkdir()
    (directory / "file").write_text("canary")
    return directory


def unchanged(canary: Path) -> bool:
    return os.listdir(canary) == ["file"] and (canary / "file").read_text() == "canary"


def plant(place: Place, name: str, text: str) -> None:
    link = place.image / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(text)


@pytest.mark.parametrize("name", MOUNT_TARGETS)
@pytest.mark.parametrize("shape", ["absolute", "relative", "file", "dangling", "dots"])
def test_mount_targets_as_symlinks_to_the_host(place: Place, canary: Path, name: str, shape: str) -> None:
    """They are resolved inside the image, where the target does not exist: a stub or a clear error."""
    up = "../" * 30
    text = {
        "absolute": str(canary),
        "relative": up + str(canary)[1:],
        "file": str(canary / "file"),
        "dangling": str(canary / "none"),
        "dots": f"/{up}{str(canary)[1:]}/..",
    }[shape]
    plant(place, name, text)

    try:
        script = f"cat {canary}/file; echo broken >{canary}/file; echo broken >/etc/resolv.conf; echo ran"
        out = place.sh(script).out
    except SandboxError:  # ".." behind a name that is not there leads nowhere
        assert shape == "dots"
        out = ["ran"]

    assert unchanged(canary)
    assert "canary" not in out
    assert out[-1:] == ["ran"]


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_mount_targets_as_symlinks_to_the_root(place: Place, name: str) -> None:
    """A mount over the root would hide the image: an error, not a surprise."""
    plant(place, name, "/")

    with pytest.raises(SandboxError, match=r"busy|Busy"):
        place.run("true")


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_mount_targets_as_links_to_each_other_loop(place: Place, name: str) -> None:
    """ELOOP is an error that names the path."""
    plant(place, name, f"/{name}")

    with pytest.raises(SandboxError, match=rf"symbolic links.*{name}"):
        place.run("true")


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_mount_targets_as_something_else(place: Place, name: str) -> None:
    """A regular file or a whiteout where a directory must be."""
    (place.image / name).write_text("")
    with pytest.raises(SandboxError, match=f"/{name}"):
        place.run("true")

    (place.image / name).unlink()
    os.mknod(place.image / name, 0o020600, os.makedev(0, 0))
    with pytest.raises(SandboxError, match=f"deletes /{name}"):
        place.run("true")


@pytest.mark.parametrize("name", ["resolv.conf", "hosts"])
def test_deleted_or_odd_files_in_etc_are_done_without(place: Place, name: str) -> None:
    """A whiteout, a directory, an opaque /etc: the step runs, and nothing is left behind."""
    etc = place.image / "etc"
    etc.mkdir()
    os.mknod(etc / name, 0o020600, os.makedev(0, 0))
    assert place.sh(f"test -e /etc/{name}").code == 1
    assert place.left_in_upper() == []

    (etc / name).unlink()
    (etc / name).mkdir()
    assert place.sh(f"test -d /etc/{name}").code == 0
    assert place.left_in_upper() == []

    (etc / name).rmdir()
    os.setxattr(etc, "user.overlay.opaque", b"y")
    assert place.sh(f"test -e /etc/{name}").code == 1
    assert place.left_in_upper() == []


def test_dangling_resolv_conf_of_systemd_works(place: Place) -> None:
    """Debian's cloud images link it into /run; the stub is where the link points, and no trace remains."""
    plant(place, "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")

    assert place.sh("cat /etc/resolv.conf").out == ["nameserver 192.0.2.1"]
    assert place.left_in_upper() == []


def test_present_resolv_conf_is_covered_and_survives(place: Place) -> None:
    """The image's own file is neither shown nor changed."""
    (place.image / "etc").mkdir()
    (place.image / "etc/resolv.conf").write_text("image")

    assert place.sh("cat /etc/resolv.conf; echo x >/etc/resolv.conf").out == ["nameserver 192.0.2.1"]
    assert (place.image / "etc/resolv.conf").read_text() == "image"
    assert place.left_in_upper() == []


def test_dev_inside_the_image_is_hidden_not_used(place: Place) -> None:
    """Masks come from our own /dev: an image's null or ptmx is never a source (CVE-2025-31133)."""
    (place.image / "dev").mkdir()
    (place.image / "dev/null").symlink_to("/proc/sys/kernel/core_pattern")
    (place.image / "dev/ptmx").write_text("image")

    assert place.sh("cat /dev/null /proc/keys; readlink /dev/ptmx").out == ["pts/ptmx"]


@pytest.mark.parametrize("number", [*range(24), 63, 255, 1023])
def test_workdir_through_a_descriptor_never_leaves_the_root(place: Place, number: int) -> None:
    """K1, CVE-2024-21626: magic links are not followed."""
    with pytest.raises(SandboxError, match="working directory"):
        place.run("pwd", cwd=f"/proc/self/fd/{number}")


@pytest.mark.parametrize("cwd", ["/proc/1/root", "/proc/self/cwd", "/proc/self/root/..", "/escape", "/escape/.."])
def test_workdir_through_magic_links_never_leaves_the_root(place: Place, canary: Path, cwd: str) -> None:
    """Either an error or a directory of the image."""
    (place.image / "escape").symlink_to(f"/proc/self/fd/../../../..{canary}")

    with pytest.raises(SandboxError, match="working directory"):
        place.run("pwd", cwd=cwd)
    assert unchanged(canary)


def test_workdir_by_dots_is_clamped_to_the_root(place: Place) -> None:
    """As chroot does."""
    assert place.run("pwd", cwd="/bin/../../..").out == ["/"]


def test_trojans_in_the_image_are_not_run_by_us(place: Place) -> None:
    """K10: nothing but the step's argv is executed, and LD_PRELOAD is the step's own affair."""
    for name in ("newuidmap", "mount", "ip", "tar"):
        target = place.image / "bin" / name
        target.unlink(missing_ok=True)
        target.write_text("#!/bin/sh\necho trojan >>/trojan\n")
        target.chmod(0o755)

    assert place.run("true", env=("PATH=/bin", "LD_PRELOAD=/evil.so")).code == 0
    assert place.left_in_upper() == []


def test_step_sees_no_process_or_credential_of_the_builder(place: Place, canary: Path) -> None:
    """J-T1, A-T6: /proc, the keyring and the store are its own or not there."""
    builder = os.getpid()
    script = f"cat {place.base}/hosts /proc/{builder}/environ; kill -9 {builder}; ls {place.base}; echo end"

    assert place.sh(script).out == ["end"]
