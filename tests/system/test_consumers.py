"""E-T8: an image with everything in it, as skopeo, umoci, podman, OCI runtimes and our own outputs have it.

Several layers, owners, setuid, setgid and sticky modes, symbolic and hard links, a FIFO, a name that is not ASCII,
whiteouts of a file and of a directory, and a directory that is removed and made again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.builds import write_context
from tests.support.command import Rbuild
from tests.support.consumers import run, skopeo
from tests.support.tools import need_tool

DOCKERFILE = """\
FROM busybox
COPY --chown=1234:4321 tree /tree
COPY --chown=7:8 --chmod=4711 word /suid
RUN mkdir -p /gone /again /sticky && echo old >/gone/old && echo old >/again/old && echo old >/removed && \\
    chmod 1777 /sticky && echo linked >/one && ln /one /two && ln -s ../suid /sticky/link && mkfifo -m 640 /fifo
RUN rm -r /gone /removed /again && mkdir /again && echo new >/again/new && chmod 2755 /again
RUN echo named >"/ünï côde" && chmod 4755 /tree/sub/file
LABEL kind=everything
USER 1234:4321
WORKDIR /srv/here
COPY --chown=1234 word .
CMD ["/bin/sh", "-c", "id -u; id -g; pwd; cat word /tree/sub/file; test ! -e /removed"]
"""
SAYS = "1234\n4321\n/srv/here\nword\ncontent\n"


class Entry(NamedTuple):
    """One file of a root file system. `is_` is its content, its target, or its kind in brackets."""

    is_: str
    mode: int
    owner: tuple[int, int] = (0, 0)


# Below /bin there is only busybox.
EXPECTED = {
    "again": Entry("<dir>", 0o2755),
    "again/new": Entry("new\n", 0o644),
    "fifo": Entry("<fifo>", 0o640),
    "one": Entry("linked\n", 0o644),
    "sticky": Entry("<dir>", 0o1777),
    "sticky/link": Entry("-> ../suid", 0o777),
    "suid": Entry("word\n", 0o4711, (7, 8)),
    "tree": Entry("<dir>", 0o755, (1234, 4321)),
    "tree/absolute": Entry("-> /etc/passwd", 0o777, (1234, 4321)),
    "tree/sub": Entry("<dir>", 0o755, (1234, 4321)),
    "tree/sub/file": Entry("content\n", 0o4755, (1234, 4321)),
    "two": Entry("linked\n", 0o644),
    "srv": Entry("<dir>", 0o755, (1234, 4321)),
    "srv/here": Entry("<dir>", 0o755, (1234, 4321)),
    "srv/here/word": Entry("word\n", 0o644, (1234, 1234)),
    "ünï côde": Entry("named\n", 0o644),
}
ANYBODY = {path: entry._replace(owner=(0, 0)) for path, entry in EXPECTED.items()}


class Outputs(NamedTuple):
    layout: Path
    oci: Path
    docker: Path
    tar: Path
    local: Path


@pytest.fixture
def outputs(rbuild: Rbuild, base: str, tmp_path: Path) -> Outputs:
    """The image in each form of output, from one build."""
    context = write_context(tmp_path / "c", DOCKERFILE, {"word": "word\n", "tree/sub/file": "content\n"})
    (context / "tree" / "absolute").symlink_to("/etc/passwd")
    made = Outputs(*(tmp_path / name for name in ("layout", "app.oci", "app.docker", "app.tar", "local")))
    rbuild(
        *("-t", "app:1", "-o", f"type=oci,dest={made.layout},tar=false", "-o", f"type=oci,dest={made.oci}"),
        *("-o", f"type=docker,dest={made.docker}", "-o", f"type=tar,dest={made.tar}"),
        *("-o", f"type=local,dest={made.local}", context),
    )
    return made


def in_directory(root: Path, owner: Any = lambda path, status: (0, 0)) -> dict[str, Entry]:
    found = {}
    for path in root.rglob("*"):
        status = path.lstat()
        name = str(path.relative_to(root))
        if not name.startswith("bin"):
            found[name] = Entry(_is(path, status), stat.S_IMODE(status.st_mode), owner(path, status))
    return found


def _is(path: Path, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return f"-> {os.readlink(path)}"
    kinds = {stat.S_IFDIR: "<dir>", stat.S_IFIFO: "<fifo>"}
    return kinds.get(stat.S_IFMT(status.st_mode)) or path.read_text()


def in_tar(archive: tarfile.TarFile) -> dict[str, Entry]:
    return {
        member.name: Entry(_member_is(archive, member), member.mode, (member.uid, member.gid))
        for member in archive
        if not member.name.startswith("bin")
    }


def _member_is(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    if member.issym():
        return f"-> {member.linkname}"
    source = archive.extractfile(member)
    if source:
        return source.read().decode()
    return "<dir>" if member.isdir() else "<fifo>"


def test_type_tar_is_the_root_file_system(outputs: Outputs) -> None:
    with tarfile.open(outputs.tar) as archive:
        assert in_tar(archive) == EXPECTED
        assert archive.getmember("two").linkname == "one"
        assert "removed" not in archive.getnames()


def test_type_local_is_the_root_file_system_of_who_builds(outputs: Outputs) -> None:
    """Without owners and the bits that lend them."""
    plain = {path: entry._replace(mode=entry.mode & 0o1777) for path, entry in ANYBODY.items()}
    assert in_directory(outputs.local) == plain
    assert {path.lstat().st_uid for path in outputs.local.rglob("*")} == {os.geteuid()}
    assert (outputs.local / "bin" / "busybox").read_bytes() == Path(need_tool("busybox")).read_bytes()


def test_type_docker_names_layers_whose_diff_ids_are_right(outputs: Outputs) -> None:
    with tarfile.open(outputs.docker) as archive:
        (image,) = json.loads(_read(archive, "manifest.json"))
        config = json.loads(_read(archive, image["Config"]))
        layers = [_read(archive, name) for name in image["Layers"]]
    assert image["RepoTags"] == ["app:1"]
    assert config["rootfs"]["diff_ids"] == [diff_id(layer) for layer in layers]
    assert config["config"]["User"] == "1234:4321"
    assert config["config"]["WorkingDir"] == "/srv/here"


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file
    return file.read()


def diff_id(layer: bytes) -> str:
    tar = gzip.decompress(layer) if layer.startswith(b"\x1f\x8b") else layer
    return f"sha256:{hashlib.sha256(tar).hexdigest()}"


def test_skopeo_inspects_every_form(rbuild: Rbuild, outputs: Outputs) -> None:
    """E-T8: by tag, the store included, which is a layout too."""
    forms = [f"oci:{outputs.layout}:1", f"oci-archive:{outputs.oci}:1", f"docker-archive:{outputs.docker}:app:1"]
    forms.append(f"oci:{rbuild.store}:docker.io/library/app:1")
    for form in forms:
        inspected = json.loads(skopeo("inspect", form))
        assert inspected["Labels"] == {"kind": "everything"}
        assert len(inspected["Layers"]) == 9
    assert json.loads(skopeo("inspect", forms[0]))["Digest"] == json.loads(rbuild("inspect", "app:1").stdout)["digest"]


def test_skopeo_copies_to_a_docker_archive_and_back(rbuild: Rbuild, outputs: Outputs, tmp_path: Path) -> None:
    """E-T8: nothing of the image is lost on the way, and we read what skopeo made of it."""
    archive, back = tmp_path / "theirs.tar", tmp_path / "back"
    skopeo("copy", f"oci:{outputs.layout}:1", f"docker-archive:{archive}:again:1")
    skopeo("copy", f"docker-archive:{archive}:again:1", f"oci:{back}:1")
    ours, theirs = (
        json.loads(skopeo("inspect", "--config", form)) for form in (f"oci:{outputs.layout}:1", f"oci:{back}:1")
    )
    assert theirs["rootfs"] == ours["rootfs"]
    assert theirs["config"] == ours["config"]

    rbuild("load", archive)
    files = tmp_path / "files.tar"
    child = write_context(tmp_path / "child", "FROM again:1\n")
    rbuild("build", "-o", f"type=tar,dest={files}", child)
    with tarfile.open(files) as tar:
        assert in_tar(tar) == EXPECTED


def recorded_owner(path: Path, status: os.stat_result) -> tuple[int, int]:
    """Owners as umoci and rootlesscontainers note them: a protocol buffer of uid and gid. Links cannot have one."""
    if "user.rootlesscontainers" not in os.listxattr(path, follow_symlinks=False):
        return (0, 0)
    numbers, shift, value = [], 0, 0
    for byte in os.getxattr(path, "user.rootlesscontainers", follow_symlinks=False):
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            numbers.append(value)
            shift, value = 0, 0
    fields = dict(zip(numbers[::2], numbers[1::2], strict=True))
    return fields.get(0o10, 0), fields.get(0o20, 0)


def test_umoci_unpacks_the_expected_tree_without_root(outputs: Outputs, tmp_path: Path) -> None:
    """E-T8"""
    run("umoci", "unpack", "--rootless", "--image", f"{outputs.layout}:1", tmp_path / "bundle")
    rootfs = tmp_path / "bundle" / "rootfs"
    links = {"tree/absolute": EXPECTED["tree/absolute"]._replace(owner=(0, 0))}
    assert in_directory(rootfs, recorded_owner) == EXPECTED | links
    assert (rootfs / "one").stat().st_ino == (rootfs / "two").stat().st_ino


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_umoci_unpacks_the_expected_tree_as_root(outputs: Outputs, tmp_path: Path) -> None:
    """E-T8"""
    run("umoci", "unpack", "--image", f"{outputs.layout}:1", tmp_path / "bundle")
    found = in_directory(tmp_path / "bundle" / "rootfs", lambda path, status: (status.st_uid, status.st_gid))
    assert found == EXPECTED


# What a runtime says when it is the host that will not have it, whatever the image.
HOST_REFUSES = re.compile(r"cgroup|rlimit|sysctl|unshare|uid_map|/proc/self|keyring|session key", re.IGNORECASE)


def runtimes() -> Iterator[str]:
    found = [path for name in ("crun", "runc") if (path := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"))]
    if not found:
        pytest.skip("neither crun nor runc is installed")
    yield from found


def first_that_works(commands: list[list[str]], cwd: Path) -> str:
    """The output of the first command that succeeds; a skip if the host refuses them all."""
    refusals = []
    for command in commands:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout
        assert HOST_REFUSES.search(done.stderr), done.stdout + done.stderr
        refusals.append(done.stderr.strip()[-200:])
    pytest.skip("; ".join(refusals))


def test_podman_loads_and_runs_it(outputs: Outputs, podman: list[str | Path], tmp_path: Path) -> None:
    """E-T8"""
    if os.geteuid() != 0 and not _has_many_ids():
        pytest.skip("podman wants a range of subordinate ids for an image with owners")
    assert "Loaded image" in run(*podman, "load", "-i", outputs.docker)
    (listed,) = json.loads(run(*podman, "images", "--format", "json"))
    assert listed["Names"] == ["docker.io/library/app:1"]
    limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
    options = ["--cgroup-manager=cgroupfs", "run", "--rm", "--network=none", *limits]
    command = [str(word) for word in podman]
    said = first_that_works(
        [
            [*command, f"--runtime={runtime}", *options, *more, "app:1"]
            for runtime in runtimes()
            for more in ([], ["--cgroups=disabled"])
        ],
        tmp_path,
    )
    assert said == SAYS


def _has_many_ids() -> bool:
    from builder.errors import BuildError
    from builder.sandbox import idmaps

    try:
        idmaps.many()
    except BuildError:
        return False
    return True


def test_an_oci_runtime_runs_the_unpacked_bundle(outputs: Outputs, tmp_path: Path) -> None:
    """As root with all its owners, and as anybody with one id."""
    bundle = tmp_path / "bundle"
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    run("umoci", "unpack", *rootless, "--image", f"{outputs.layout}:1", bundle)
    config = json.loads((bundle / "config.json").read_text())
    config["process"]["terminal"] = False
    config["process"].pop("rlimits", None)
    config["mounts"] = [mount for mount in config["mounts"] if mount["type"] in ("proc", "tmpfs")]
    if rootless:
        config["process"]["user"] = {"uid": 0, "gid": 0}
    (bundle / "config.json").write_text(json.dumps(config))
    state = tmp_path / "state"
    said = first_that_works(
        [[runtime, "--root", str(state), "run", f"rbuild-{os.getpid()}"] for runtime in runtimes()], bundle
    )
    assert said == (SAYS.replace("1234\n4321\n", "0\n0\n") if rootless else SAYS)
