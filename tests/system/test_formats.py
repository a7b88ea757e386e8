"""E-T8, G-T4, G-T5: what we write, of one platform and of two, as other tools read it by tag; and back again."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from builder.oci.platform import host
from tests.support.builds import write_context
from tests.support.command import Rbuild
from tests.support.consumers import run, skopeo

if TYPE_CHECKING:
    pass

REF_NAME = "org.opencontainers.image.ref.name"
BOTH = ("linux/amd64", "linux/arm64")


class Form(NamedTuple):
    """An output, and how containers/image calls it."""

    output: str
    transport: str

    def source(self, folder: Path) -> str:
        return self.transport.format(folder)


FORMS = {
    "layout": Form("type=oci,tar=false,dest={}/layout", "oci:{}/layout:1"),
    "oci": Form("type=oci,dest={}/oci", "oci-archive:{}/oci:1"),
    "docker": Form("type=docker,dest={}/docker", "docker-archive:{}/docker:app:1"),
}


class Made(NamedTuple):
    """What one build has written: `folder` holds a file of each form, except docker of two platforms."""

    rbuild: Rbuild
    folder: Path
    digest: str

    def document(self, form: str, name: str) -> Any:
        if form == "layout":
            return json.loads((self.folder / form / name).read_bytes())
        with tarfile.open(self.folder / form) as archive:
            file = archive.extractfile(name)
            assert file
            return json.loads(file.read())

    def blob(self, form: str, digest: str) -> Any:
        return self.document(form, "blobs/" + digest.replace(":", "/"))


def make(folder: Path, forms: tuple[str, ...], *options: str) -> Made:
    rbuild = Rbuild(folder / "store")
    context = write_context(
        folder / "c", 'FROM scratch\nCOPY word /\nLABEL of=tests\nCMD ["/word"]\n', {"word": "word\n"}
    )
    outputs = (f"--output={FORMS[form].output.format(folder)}" for form in forms)
    rbuild("-t", "app:1", *options, *outputs, context)
    return Made(rbuild, folder, json.loads(rbuild("inspect", "app:1").stdout)["digest"])


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("one"), ("layout", "oci", "docker"))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("two"), ("layout", "oci"), f"--platform={','.join(BOTH)}")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory, one: Made) -> Path:
    """What rbuild save writes of the same image."""
    folder = tmp_path_factory.mktemp("saved")
    one.rbuild("save", "app:1", "-o", folder / "docker")
    one.rbuild("save", "--format=oci-archive", "--output", folder / "oci", "app:1")
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_one_platform_is_one_plain_manifest(one: Made, form: str) -> None:
    """G-T4: no index around it and no attestation beside it. G-T5: gzip."""
    (entry,) = one.document(form, "index.json")["manifests"]
    manifest = one.blob(form, entry["digest"])

    assert entry["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert (entry["digest"], entry["annotations"][REF_NAME]) == (one.digest, "1")
    assert [layer["mediaType"] for layer in manifest["layers"]] == ["application/vnd.oci.image.layer.v1.tar+gzip"]
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    assert not manifest.keys() & {"subject", "artifactType"}
    if form == "docker":
        (described,) = one.document(form, "manifest.json")
        assert described["RepoTags"] == ["app:1"]


@pytest.mark.parametrize("form", ["layout", "oci"])
def test_several_platforms_are_one_index_of_just_them(two: Made, form: str) -> None:
    (entry,) = two.document(form, "index.json")["manifests"]
    index = two.blob(form, entry["digest"])
    shown = [f"{each['platform']['os']}/{each['platform']['architecture']}" for each in index["manifests"]]

    assert entry["mediaType"] == index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert (entry["digest"], entry["annotations"][REF_NAME]) == (two.digest, "1")
    assert tuple(shown) == BOTH
    for each in index["manifests"]:
        assert two.blob(form, each["digest"])["layers"][0]["mediaType"].endswith("tar+gzip")


def test_several_platforms_into_dockers_archive_are_refused_before_the_build(two: Made, tmp_path: Path) -> None:
    run = two.rbuild(f"--platform={','.join(BOTH)}", f"-o=type=docker,dest={tmp_path}/x", two.folder / "c", status=2)
    assert "-o type=docker: a docker archive holds one platform, and 2 are built" in run.stderr
    assert not (tmp_path / "x").exists()


def inspected(source: str, *options: str) -> dict[str, Any]:
    return dict(json.loads(skopeo(*options, "inspect", source)))


@pytest.mark.parametrize("form", FORMS)
def test_skopeo_reads_it_by_tag(one: Made, form: str) -> None:
    found = inspected(FORMS[form].source(one.folder))
    assert (found["Labels"], found["Architecture"]) == ({"of": "tests"}, host().architecture)
    if form != "docker":
        assert found["Digest"] == one.digest


@pytest.mark.parametrize("form", ["layout", "oci"])
def test_skopeo_reads_each_platform_by_tag(two: Made, form: str) -> None:
    for name in BOTH:
        architecture = name.partition("/")[2]
        found = inspected(FORMS[form].source(two.folder), f"--override-arch={architecture}", "--override-os=linux")
        assert found["Architecture"] == architecture


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_skopeo_reads_what_is_saved_by_tag(one: Made, archives: Path, form: str) -> None:
    found = inspected(FORMS[form].source(archives))
    assert found["Labels"] == {"of": "tests"}
    # Docker's archive is an OCI archive, too.
    assert inspected(f"oci-archive:{archives}/{form}:1")["Digest"] == one.digest


def test_skopeo_copies_all_platforms_and_we_load_them_again(two: Made, tmp_path: Path) -> None:
    """The digest of the index is that of the build."""
    skopeo("copy", "--all", FORMS["layout"].source(two.folder), f"oci-archive:{tmp_path}/theirs:app:1")
    other = Rbuild(tmp_path / "store")
    other("load", tmp_path / "theirs")
    assert digest_of(other, "app:1") == two.digest


def test_umoci_unpacks_it_by_tag(one: Made, tmp_path: Path) -> None:
    run("umoci", "unpack", "--rootless", "--image", f"{one.folder}/layout:1", tmp_path / "bundle")
    assert (tmp_path / "bundle/rootfs/word").read_text() == "word\n"


def test_crane_reads_the_layout_and_the_archive(one: Made) -> None:
    """Its docker archives are those of manifest.json."""
    assert json.loads(run("crane", "manifest", one.folder / "layout"))["manifests"][0]["digest"] == one.digest
    assert json.loads(run("crane", "validate", "--tarball", one.folder / "docker") or "null") is None


@pytest.fixture
def buildah(tmp_path: Path) -> list[str | Path]:
    """buildah with a storage of its own; skipped by name where it does not work."""
    roots: list[str | Path] = ["--root", tmp_path / "buildah", "--runroot", tmp_path / "r", "--storage-driver", "vfs"]
    command: list[str | Path] = ["buildah", *roots]
    run("buildah", "--version")
    works = subprocess.run([str(word) for word in [*command, "images"]], capture_output=True, text=True, check=False)
    if works.returncode:
        pytest.skip(f"buildah does not work here: {works.stderr.strip()[-200:]}")
    return command


def test_buildah_pulls_every_form_by_tag_and_we_load_what_it_pushes(
    one: Made, buildah: list[str | Path], tmp_path: Path
) -> None:
    ours = config_of(one.rbuild, "app:1")
    # In one storage: the ID of an image is the digest of its config.
    pulled = {run(*buildah, "pull", "--quiet", form.source(one.folder)).strip() for form in FORMS.values()}
    assert pulled == {ours.removeprefix("sha256:")}
    for transport in ("oci-archive", "docker-archive"):
        run(*buildah, "push", "--quiet", pulled.copy().pop(), f"{transport}:{tmp_path}/{transport}:back:1")
        other = Rbuild(tmp_path / f"store-{transport}")
        assert other("load", tmp_path / transport).stdout == "docker.io/library/back:1\n"
        theirs = skopeo("inspect", "--raw", "--config", f"{transport}:{tmp_path}/{transport}:back:1")
        assert config_of(other, "back:1") == f"sha256:{hashlib.sha256(theirs.encode()).hexdigest()}"
    assert inspected(f"oci-archive:{tmp_path}/oci-archive:back:1")["Digest"] == digest_of(
        Rbuild(tmp_path / "store-oci-archive"), "back:1"
    )


def digest_of(rbuild: Rbuild, name: str) -> str:
    return str(json.loads(rbuild("inspect", name).stdout)["digest"])


def config_of(rbuild: Rbuild, name: str) -> str:
    return str(json.loads(rbuild("inspect", name).stdout)["manifest"]["config"]["digest"])


def test_what_is_saved_is_loaded_as_it_was(one: Made, two: Made, archives: Path, tmp_path: Path) -> None:
    """By file and by pipe, and of several platforms: the digest is the same, and the archive that of the build."""
    assert (archives / "docker").read_bytes() == (one.folder / "docker").read_bytes()
    for form in ("docker", "oci"):
        other = Rbuild(tmp_path / form)
        assert other("load", archives / form).stdout == "docker.io/library/app:1\n"
        assert digest_of(other, "app:1") == one.digest
    piped = subprocess.run(
        [one.rbuild.command, "save", one.digest[7:19]], env=one.rbuild.environment, capture_output=True, check=True
    )
    assert piped.stdout == (archives / "docker").read_bytes()
    two.rbuild("save", "--format=oci-archive", "-o", tmp_path / "both", "app:1")
    other = Rbuild(tmp_path / "two")
    other("load", tmp_path / "both")
    assert digest_of(other, "app:1") == two.digest


def test_one_platform_of_several_is_saved(two: Made, tmp_path: Path) -> None:
    refused = two.rbuild("save", "app:1", "-o", tmp_path / "x", status=1)
    assert "a docker archive holds one platform, and the image is for linux/amd64, linux/arm64" in refused.stderr
    assert "choose one with --platform" in refused.stderr
    two.rbuild("save", "--platform=linux/arm64", "app:1", "-o", tmp_path / "arm")
    assert inspected(f"docker-archive:{tmp_path}/arm:app:1")["Architecture"] == "arm64"
    assert "not there for linux/s390x" in two.rbuild("save", "--platform=linux/s390x", "app:1", status=1).stderr


def test_save_refuses_what_it_cannot_do(one: Made, tmp_path: Path) -> None:
    assert "no image docker.io/library/other:latest" in one.rbuild("save", "other", status=1).stderr
    assert "--platform: " in one.rbuild("save", "--platform=a/b/c/d", "app:1", status=2).stderr
    assert "docker-archive, oci-archive" in one.rbuild("save", "--format=tar", "app:1", status=2).stderr
    assert "is a directory" in one.rbuild("save", "app:1", "-o", tmp_path, status=1).stderr
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [one.rbuild.command, "save", "app:1"], env=one.rbuild.environment, stdout=theirs, stderr=subprocess.PIPE
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2 and b"standard output is a terminal" in done.stderr
