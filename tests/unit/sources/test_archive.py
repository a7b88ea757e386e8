"""Loading: whatever others write comes in whole, verified and tagged; whatever is hostile stays out."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.errors import ArchiveError, BuildError, NotFound
from builder.exporters.archive import ArchiveExporter
from builder.exporters.exporter import StoredImage
from builder.exporters.layout import LayoutExporter
from builder.oci import mediatypes
from builder.oci.descriptor import Descriptor
from builder.oci.digest import sha256_of
from builder.oci.index import Index
from builder.oci.platform import Platform, host
from builder.oci.reference import parse_reference
from builder.sources.archive import load
from builder.sources.oci_layout import fetch
from builder.store.images import choose_manifest, read_config, read_manifest
from builder.store.store import Store
from tests.support.images import put_image, tar_of

Members = list[tuple[str, bytes | str]]  # a str is the target of a symbolic link
NAME = "docker.io/library/app:1"


@pytest.fixture
def other(tmp_path: Path) -> Store:
    """An empty store to load into."""
    return Store.open(str(tmp_path / "other"))


def archive(image: StoredImage, *, docker: bool = False) -> bytes:
    out = io.BytesIO()
    ArchiveExporter("-", docker=docker).export(image, out)
    return out.getvalue()


def load_bytes(content: bytes, store: Store, name: str | None = None) -> list[str]:
    return [image.name for image in load("-", store, io.BytesIO(content), name)]


def unpacked(content: bytes) -> Members:
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        return [(entry.name, opened.extractfile(entry).read()) for entry in opened if entry.isfile()]  # type: ignore[union-attr]


def packed(members: Members) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as opened:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                opened.addfile(entry)
            else:
                entry.size = len(content)
                opened.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def is_complete(store: Store, name: str) -> bool:
    descriptor = store.tags.get(name)
    assert descriptor is not None
    manifest = read_manifest(store.blobs, choose_manifest(store.blobs, descriptor, host()))
    config = read_config(store.blobs, manifest)
    return config.cmd == ("/hello",) and all(store.blobs.has(layer.digest) for layer in manifest.layers)


@pytest.mark.parametrize("docker", [False, True])
@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress])
def test_our_archives_come_back_as_the_same_image(
    image: StoredImage, other: Store, docker: bool, compress: type[bytes]
) -> None:
    (loaded,) = load("-", other, io.BytesIO(compress(archive(image, docker=docker))))

    assert loaded == (NAME, image.manifest)
    assert is_complete(other, NAME)


def test_a_file_and_a_directory_are_loaded_by_path(image: StoredImage, other: Store, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(archive(image))
    LayoutExporter(str(tmp_path / "d")).export(image, io.BytesIO())

    assert [each.name for each in load(str(tmp_path / "a.tar"), other)] == [NAME]
    assert other.tags.remove(NAME)
    assert [each.name for each in load(str(tmp_path / "d"), other)] == [NAME]
    assert is_complete(other, NAME)


def test_the_members_may_come_in_any_order_and_spelling(image: StoredImage, other: Store) -> None:
    members = [(f"./{name}", content) for name, content in reversed(unpacked(archive(image)))]
    assert load_bytes(packed(members), other) == [NAME]


def test_a_given_name_replaces_the_archives_own(image: StoredImage, other: Store) -> None:
    assert load_bytes(archive(image), other, "mine") == ["docker.io/library/mine:latest"]
    assert [name for name, _ in other.tags.all()] == ["docker.io/library/mine:latest"]


def test_a_tag_alone_is_no_name(image: StoredImage, other: Store) -> None:
    (loaded,) = load("-", other, io.BytesIO(archive(image._replace(names=()))))

    assert loaded == ("", image.manifest)
    assert other.tags.all() == ()


@pytest.mark.parametrize("ref_name", ["app:1", "docker.io/library/app:1"])
def test_a_name_in_ref_name_alone_is_taken(image: StoredImage, other: Store, ref_name: str) -> None:
    """skopeo writes what stands after the path of oci-archive: there."""
    members = dict(unpacked(archive(image)))
    index = json.loads(members["index.json"])
    index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": ref_name}
    members["index.json"] = json.dumps(index).encode()
    assert load_bytes(packed(list(members.items())), other) == [NAME]


def test_of_an_index_what_is_there_is_kept_and_the_machines_own_is_chosen(store: Store, other: Store) -> None:
    mine = put_image(store, {"a": b"1"}).manifest._replace(platform=host())
    absent = Descriptor(mediatypes.MANIFEST, sha256_of(b"x"), 1, platform=Platform("linux", "other"))
    index = store.blobs.put_bytes(mediatypes.INDEX, Index((absent, mine)).encode())
    content = archive(StoredImage(store.blobs, index, (parse_reference("app:1"),)))

    assert load_bytes(content, other) == [NAME]
    assert is_complete(other, NAME)
    with pytest.raises(NotFound) as caught:
        choose_manifest(other.blobs, index, Platform("linux", "third"))
    assert "linux/other" in str(caught.value.hint)


def old_docker_save(*, layer_name: str = "{}/layer.tar", config_extra: dict[str, object] | None = None) -> Members:
    """What docker save wrote before 25: a directory a layer, the third one a link to the first."""
    layers = [tar_of({"a": b"1"}), tar_of({"b": b"2"})]
    names = [layer_name.format(f"{number}" * 64) for number in range(3)]
    config = {
        "architecture": host().architecture,
        "os": "linux",
        "config": {"Cmd": ["/hello"]},
        "rootfs": {
            "type": "layers",
            "diff_ids": [sha256_of(layers[0]), sha256_of(layers[1]), sha256_of(layers[0])],
        },
        **(config_extra or {}),
    }
    raw = json.dumps(config).encode()
    config_name = sha256_of(raw)[7:] + ".json"
    manifest = [{"Config": config_name, "RepoTags": ["app:1", "other/app:2"], "Layers": names}]
    return [
        (names[0], layers[0]),
        ("0" * 64 + "/VERSION", b"1.0"),
        ("0" * 64 + "/json", b"{}"),
        (names[1], layers[1]),
        (names[2], "../" + names[0] if "/" in names[0] else names[0]),
        (config_name, raw),
        ("manifest.json", json.dumps(manifest).encode()),
        ("repositories", b"{}"),
    ]


@pytest.mark.parametrize("layer_name", ["{}/layer.tar", "{}.tar"])
def test_an_old_docker_save_archive_is_loaded(other: Store, layer_name: str) -> None:
    assert load_bytes(packed(old_docker_save(layer_name=layer_name)), other) == [
        NAME,
        "docker.io/other/app:2",
    ]
    assert is_complete(other, NAME)
    descriptor = other.tags.get(NAME)
    assert descriptor is not None
    manifest = read_manifest(other.blobs, descriptor)

    assert [layer.media_type for layer in manifest.layers] == [mediatypes.LAYER] * 3
    assert manifest.layers[0] == manifest.layers[2]


def test_the_config_of_a_docker_archive_keeps_its_bytes(other: Store) -> None:
    members = old_docker_save(config_extra={"docker_version": "1", "odd": None})
    load_bytes(packed(members), other)
    raw = next(content for name, content in members if name.endswith(".json") and len(name) > 64)
    assert isinstance(raw, bytes)
    assert other.blobs.has(sha256_of(raw))


def changed(members: Members, **changes: bytes | str | None) -> bytes:
    """The archive with members (named by their end, dots as _) replaced or, for None, left out."""

    def change(name: str, content: bytes | str) -> bytes | str | None:
        keys = [key for key in changes if name.replace(".", "_").endswith(key)]
        return changes[keys[0]] if keys else content

    both = [(name, change(name, content)) for name, content in members]
    return packed([(name, content) for name, content in both if content is not None])


def manifest_json(**changes: object) -> bytes:
    described = json.loads(dict(old_docker_save())["manifest.json"])
    return json.dumps([described[0] | changes]).encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a tar archive"),
        (b"hello" * 500, "not a tar archive"),
        (gzip.compress(b"hello", mtime=0), "not a tar archive"),
        (gzip.compress(packed(old_docker_save()), mtime=0)[:-300], "not a tar archive|missing|neither"),
        (packed(old_docker_save())[:3000], "not a tar archive"),
        (packed([("a", b"")]), "neither index.json nor manifest.json"),
        (packed([("index.json", b"{}")]), "without oci-layout"),
        (packed([("index.json", b"{}"), ("oci-layout", b"{}")]), "version None"),
        (packed([("manifest.json", b"{}")]), "not a list"),
        (packed([("manifest.json", b"[]")]), "no image"),
        (packed([("manifest.json", b"[1]")]), "not a JSON object"),
        (packed([("../x", b""), *old_docker_save()]), "leads out"),
        (packed([("x", "../../etc/passwd"), *old_docker_save()]), "leads out"),
        (packed([*old_docker_save(), ("manifest.json", b"[]")]), "twice"),
        (changed(old_docker_save(), manifest_json=manifest_json(Config="../../etc/passwd")), "leads out"),
        (changed(old_docker_save(), manifest_json=manifest_json(Config="/etc/passwd")), "missing"),
        (changed(old_docker_save(), manifest_json=manifest_json(Layers=["x"])), "1 layers, but 3"),
        (changed(old_docker_save(), manifest_json=manifest_json(Layers=["x", "y", "z"])), "'x' is missing"),
        (changed(old_docker_save(), manifest_json=manifest_json(RepoTags=["A B"])), "not an image reference"),
        (changed(old_docker_save(), manifest_json=manifest_json(layers=[])), "only by case"),
        (changed(old_docker_save(), manifest_json="manifest.json"), "neither"),
        (packed([("a", "b"), ("b", "a"), ("manifest.json", manifest_json(Config="a"))]), "too many links"),
    ],
)
def test_what_is_damaged_or_hostile_is_refused_and_changes_no_tag(other: Store, content: bytes, why: str) -> None:
    with pytest.raises(ArchiveError, match=why) as caught:
        load_bytes(content, other)

    assert caught.value.message.startswith("standard input: ")
    assert other.tags.all() == ()


def test_a_layer_that_is_not_what_the_config_says_is_refused(other: Store) -> None:
    members = [(name, b"other" if name.startswith("111") else content) for name, content in old_docker_save()]
    with pytest.raises(ArchiveError, match="the config says"):
        load_bytes(packed(members), other)


def test_a_config_that_is_not_what_its_name_says_is_refused(other: Store) -> None:
    members = [
        (name, content + b" " if isinstance(content, bytes) and len(name) == 69 else content)
        for name, content in old_docker_save()
    ]
    with pytest.raises(ArchiveError, match="damaged"):
        load_bytes(packed(members), other)


def test_every_blob_of_an_oci_archive_is_verified(image: StoredImage, other: Store) -> None:
    for victim, content in unpacked(archive(image)):
        if victim.startswith("blobs/"):
            assert isinstance(content, bytes)
            members = [(n, c[:-1] + b"\xff" if n == victim else c) for n, c in unpacked(archive(image))]  # type: ignore[operator]
            with pytest.raises(ArchiveError, match="the bytes are"):
                load_bytes(packed(members), other)


def test_every_blob_of_an_oci_archive_must_be_there(image: StoredImage, tmp_path: Path) -> None:
    for number, (victim, _) in enumerate(unpacked(archive(image))):
        if victim.startswith("blobs/"):
            members = [(name, content) for name, content in unpacked(archive(image)) if name != victim]
            with pytest.raises(ArchiveError, match="missing"):
                load_bytes(packed(members), Store.open(str(tmp_path / str(number))))


def test_a_size_that_lies_is_refused(image: StoredImage, other: Store) -> None:
    members = dict(unpacked(archive(image)))
    index = json.loads(members["index.json"])
    index["manifests"][0]["size"] += 1
    members["index.json"] = json.dumps(index).encode()
    with pytest.raises(ArchiveError, match="announced"):
        load_bytes(packed(list(members.items())), other)


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_an_archive_with_a_device_is_refused(other: Store, kind: bytes) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as opened:
        entry = tarfile.TarInfo("dev")
        entry.type = kind
        opened.addfile(entry)
    with pytest.raises(ArchiveError, match="'dev' is no plain file"):
        load_bytes(out.getvalue(), other)


def test_one_name_is_not_given_to_several_images(store: Store, other: Store, tmp_path: Path) -> None:
    for name in ("a:1", "b:2"):
        manifest = put_image(store, {name: b""}).manifest
        LayoutExporter(str(tmp_path / "d")).export(
            StoredImage(store.blobs, manifest, (parse_reference(name),)), io.BytesIO()
        )
    assert len(load(str(tmp_path / "d"), other)) == 2
    with pytest.raises(ArchiveError, match="several images"):
        load(str(tmp_path / "d"), other, name="c")


def test_somebody_elses_layout_is_never_changed(image: StoredImage, other: Store, tmp_path: Path) -> None:
    LayoutExporter(str(tmp_path / "d")).export(image, io.BytesIO())
    blob = tmp_path / "d" / "blobs" / image.manifest.digest.replace(":", "/")
    blob.write_bytes(b"x" * image.manifest.size)
    with pytest.raises(BuildError, match="damaged"):
        load(str(tmp_path / "d"), other)

    assert blob.exists()
    assert sorted(os.listdir(tmp_path / "d")) == ["blobs", "index.json", "oci-layout"]


@pytest.mark.parametrize("path", ["no/such/file", "."])
def test_a_path_that_is_no_archive_is_an_archive_error(other: Store, path: str) -> None:
    with pytest.raises(ArchiveError):
        load(path, other)


def test_one_image_of_a_layout_is_fetched_by_tag_name_or_digest(store: Store, other: Store, tmp_path: Path) -> None:
    path, manifests = str(tmp_path / "d"), {}
    for name in ("a:1", "b:2"):
        manifests[name] = put_image(store, {name: b""}).manifest
        LayoutExporter(path).export(StoredImage(store.blobs, manifests[name], (parse_reference(name),)), io.BytesIO())
    for wanted in ("2", "docker.io/library/b:2", manifests["b:2"].digest):
        assert fetch(path, wanted, other, host()) == manifests["b:2"]
    with pytest.raises(NotFound, match="several images") as caught:
        fetch(path, "", other, host())
    assert "docker.io/library/a:1" in str(caught.value.hint)
    with pytest.raises(NotFound, match="no image for '3'"):
        fetch(path, "3", other, host())
    assert str(caught.value).startswith(path)
    with pytest.raises(ArchiveError, match="absent: No such file"):
        fetch(f"{tmp_path}/absent", "", other, host())
    with pytest.raises(ArchiveError, match="index.json: Not a directory"):
        fetch(f"{path}/index.json", "", other, host())

    assert not other.blobs.has(manifests["a:1"].digest)
    assert other.tags.all() == ()


FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)


@FUZZ
@given(cut=st.integers(0, 20_000), at=st.integers(0, 20_000), byte=st.integers(0, 255))
def test_a_damaged_archive_is_an_error_or_the_image(
    image: StoredImage, other: Store, cut: int, at: int, byte: int
) -> None:
    content = bytearray(archive(image))
    content[at % len(content)] = byte
    try:
        load_bytes(bytes(content[: cut or None]), other)
    except ArchiveError:
        return
