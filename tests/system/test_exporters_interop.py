"""Other tools read what we export, and we read what they make: skopeo, umoci, podman."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.exporters.exporter import StoredImage, exporter_for
from builder.exporters.spec import parse_output
from builder.oci.config import ImageConfig
from builder.oci.documents import parse_config, parse_manifest
from builder.oci.platform import host
from builder.oci.reference import parse_reference
from builder.sources.archive import load
from builder.store.images import read_config, read_manifest
from builder.store.store import Store
from tests.support.consumers import run, skopeo
from tests.support.images import NO_ROOTFS, put_image

NAME = "docker.io/library/app:1"
CONFIG = ImageConfig(
    cmd=("/hello",),
    env=(("PATH", "/bin"), ("X", "a=b")),
    labels=(("made-by", "a test"),),
    exposed_ports=("80/tcp",),
    volumes=("/data",),
    working_dir="/w",
    user="1:1",
    stop_signal="SIGINT",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "store")) as opened:
        yield opened


@pytest.fixture
def image(store: Store) -> StoredImage:
    built = put_image(store, {"hello": b"hello\n"}, {"etc/x": b"x" * 5000}, config=CONFIG)
    return StoredImage(store.blobs, built.manifest, (parse_reference("app:1"),))


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "other")) as opened:
        yield opened


def export(image: StoredImage, spec: str) -> None:
    exporter_for(parse_output(spec), [("", NO_ROOTFS)]).export(image, io.BytesIO())


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("type=oci,dest={},tar=false", "oci:{}:1"),
        ("type=oci,dest={}", "oci-archive:{}:1"),
        ("type=oci,dest={}", "oci-archive:{}"),
        ("type=docker,dest={}", "docker-archive:{}:app:1"),
        ("type=docker,dest={}", "docker-archive:{}"),
        ("type=docker,dest={}", "oci-archive:{}:1"),
    ],
)
def test_skopeo_inspects_and_copies_every_form_by_tag(image: StoredImage, tmp_path: Path, spec: str, name: str) -> None:
    export(image, spec.format(tmp_path / "out"))
    source = name.format(tmp_path / "out")
    inspected = json.loads(skopeo("inspect", source))
    config = json.loads(skopeo("inspect", "--config", source))
    skopeo("copy", source, f"oci:{tmp_path / 'copy'}:x")

    assert inspected["Labels"] == {"made-by": "a test"}
    assert inspected["Architecture"] == host().architecture
    assert len(inspected["Layers"]) == 2
    assert config["config"]["Cmd"] == ["/hello"]
    assert config["config"]["ExposedPorts"] == {"80/tcp": {}}
    if not name.startswith("docker"):
        assert inspected["Digest"] == image.manifest.digest


def test_skopeo_reads_the_store_while_it_is_a_store(store: Store, image: StoredImage) -> None:
    store.tags.set(NAME, image.manifest)
    assert json.loads(skopeo("inspect", f"oci:{store.root}:{NAME}"))["Digest"] == image.manifest.digest


def test_skopeo_copies_between_our_forms_without_changing_the_digest(image: StoredImage, tmp_path: Path) -> None:
    export(image, f"type=oci,dest={tmp_path / 'a.tar'}")
    skopeo("copy", f"oci-archive:{tmp_path / 'a.tar'}:1", f"dir:{tmp_path / 'd'}")
    assert parse_manifest((tmp_path / "d" / "manifest.json").read_bytes()).config.digest


def test_umoci_unpacks_our_layout(image: StoredImage, tmp_path: Path) -> None:
    export(image, f"type=oci,dest={tmp_path / 'd'},tar=false")
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path / 'd'}:1", tmp_path / "bundle")

    assert (tmp_path / "bundle" / "rootfs" / "hello").read_text() == "hello\n"
    assert json.loads((tmp_path / "bundle" / "config.json").read_text())["process"]["args"] == ["/hello"]


@pytest.mark.parametrize("kind", ["oci", "docker"])
def test_podman_loads_our_archives(image: StoredImage, tmp_path: Path, podman: list[str | Path], kind: str) -> None:
    export(image, f"type={kind},dest={tmp_path / 'a.tar'}")
    assert "Loaded image" in run(*podman, "load", "-i", tmp_path / "a.tar")
    (listed,) = json.loads(run(*podman, "images", "--format", "json"))
    (config,) = json.loads(run(*podman, "image", "inspect", listed["Id"]))

    assert listed["Id"] == read_manifest(image.blobs, image.manifest).config.digest[7:]
    assert config["Config"]["Labels"] == {"made-by": "a test"}
    if kind == "docker":
        assert listed["Names"] == [NAME]


def test_what_podman_saves_is_loaded(
    image: StoredImage, tmp_path: Path, podman: list[str | Path], other: Store
) -> None:
    export(image, f"type=docker,dest={tmp_path / 'a.tar'}")
    run(*podman, "load", "-i", tmp_path / "a.tar")
    for form in ("docker-archive", "oci-archive"):
        run(*podman, "save", "--format", form, "-o", tmp_path / form, NAME)
        (loaded,) = load(str(tmp_path / form), other)
        manifest = read_manifest(other.blobs, loaded.descriptor)
        config = read_config(other.blobs, manifest)

        assert loaded.name == NAME
        assert manifest.config.digest == read_manifest(image.blobs, image.manifest).config.digest
        assert (config.cmd, config.user, config.volumes) == (("/hello",), "1:1", ("/data",))
        assert config.diff_ids == read_config(image.blobs, read_manifest(image.blobs, image.manifest)).diff_ids


@pytest.mark.parametrize("form", ["docker-archive:{}:app:1", "oci-archive:{}:app:1", f"oci:{{}}:{NAME}"])
def test_what_skopeo_writes_is_loaded(image: StoredImage, tmp_path: Path, other: Store, form: str) -> None:
    export(image, f"type=oci,dest={tmp_path / 'd'},tar=false")
    skopeo("copy", f"oci:{tmp_path / 'd'}:1", form.format(tmp_path / "theirs"))
    (loaded,) = load(str(tmp_path / "theirs"), other)
    manifest = read_manifest(other.blobs, loaded.descriptor)
    ours = read_config(image.blobs, read_manifest(image.blobs, image.manifest))

    assert loaded.name == NAME
    assert read_config(other.blobs, manifest).diff_ids == ours.diff_ids
    assert all(other.blobs.has(layer.digest) for layer in manifest.layers)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_what_skopeo_compresses_anew_is_loaded(
    image: StoredImage, tmp_path: Path, other: Store, compression: str
) -> None:
    export(image, f"type=oci,dest={tmp_path / 'd'},tar=false")
    skopeo(
        *("copy", "--dest-compress-format", compression, "--dest-compress-level", "3"),
        *(f"oci:{tmp_path / 'd'}:1", f"oci:{tmp_path / 'theirs'}:1"),
    )
    (loaded,) = load(str(tmp_path / "theirs"), other, name="app:1")
    assert read_manifest(other.blobs, loaded.descriptor).layers


def test_an_image_that_umoci_made_is_loaded(tmp_path: Path, other: Store) -> None:
    layout = tmp_path / "d"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:x")
    run("umoci", "config", "--image", f"{layout}:x", "--config.cmd", "/hello", "--config.env", "A=b")
    (loaded,) = load(str(layout), other, name="made:x")
    config = parse_config(other.blobs.read(read_manifest(other.blobs, loaded.descriptor).config))

    assert (config.cmd, dict(config.env)["A"]) == (("/hello",), "b")
