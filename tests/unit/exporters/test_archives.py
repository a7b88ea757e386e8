"""Archives: complete or absent, the same bytes every time, and what others need in them."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from builder.errors import DocumentError, ExportError, StoreError
from builder.exporters.archive import ArchiveExporter
from builder.exporters.exporter import StoredImage
from builder.oci import mediatypes
from builder.oci.descriptor import Descriptor, describe
from builder.oci.digest import sha256_of
from builder.oci.index import Index
from builder.oci.manifest import Manifest, parse_manifest
from builder.oci.platform import Platform, host
from builder.oci.reference import parse_reference
from builder.store.store import Store
from tests.support.images import put_image
from tests.support.schemas import faults


def export(image: StoredImage, dest: Path, *, docker: bool = False) -> bytes:
    ArchiveExporter(str(dest), docker=docker).export(image, io.BytesIO())
    return dest.read_bytes()


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        entries = opened.getmembers()
        assert all((entry.uid, entry.gid, entry.mtime, entry.uname) == (0, 0, 0, "") for entry in entries)
        return {entry.name: b"" if entry.isdir() else opened.extractfile(entry).read() for entry in entries}  # type: ignore[union-attr]


def test_an_oci_archive_is_a_layout_in_a_fixed_order(image: StoredImage, tmp_path: Path) -> None:
    found = members(export(image, tmp_path / "a.tar"))
    names = list(found)
    index = json.loads(found["index.json"])

    assert names[:4] == ["oci-layout", "index.json", "blobs", "blobs/sha256"]
    assert names[4:] == sorted(names[4:])
    assert len(names) == 4 + 4
    assert all("sha256:" + name.split("/")[2] == sha256_of(found[name]) for name in names[4:])
    assert faults("layout", found["oci-layout"]) == faults("index", found["index.json"]) == []
    assert len(index["manifests"]) == 1
    assert index["manifests"][0]["digest"] == image.manifest.digest
    assert index["manifests"][0]["annotations"] == {
        "io.containerd.image.name": "docker.io/library/app:1",
        "org.opencontainers.image.ref.name": "1",
    }


def test_an_unnamed_image_can_still_be_addressed(image: StoredImage, tmp_path: Path) -> None:
    index = json.loads(members(export(image._replace(names=()), tmp_path / "a.tar"))["index.json"])
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "latest"}


def test_the_stores_own_annotations_do_not_get_out(store: Store, image: StoredImage, tmp_path: Path) -> None:
    store.tags.set("docker.io/library/app:1", image.manifest)
    tagged = store.tags.get("docker.io/library/app:1")
    assert tagged is not None

    assert export(image._replace(manifest=tagged), tmp_path / "a") == export(image, tmp_path / "b")


@pytest.mark.parametrize("docker", [False, True])
def test_the_same_image_gives_the_same_bytes_by_every_way(
    image: StoredImage, store: Store, tmp_path: Path, docker: bool
) -> None:
    """Verified or not, copied by the kernel or by us, to a file or a stream."""
    stream = io.BytesIO()
    ArchiveExporter("-", docker=docker).export(image, stream)
    unverified = image._replace(blobs=Store.open(store.root).blobs)

    assert export(image, tmp_path / "a", docker=docker) == stream.getvalue()
    assert export(unverified, tmp_path / "b", docker=docker) == stream.getvalue()


@pytest.mark.parametrize("error", [errno.EXDEV, errno.ENOSYS, errno.EINVAL])
def test_a_kernel_that_cannot_copy_between_files_changes_nothing(
    image: StoredImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    expected = export(image, tmp_path / "a")

    def refuse(*_: object) -> int:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    assert export(image, tmp_path / "b") == expected
    monkeypatch.setattr(os, "copy_file_range", lambda *_: 0)
    assert export(image, tmp_path / "c") == expected


def test_a_docker_archive_has_dockers_manifest_too(image: StoredImage, tmp_path: Path) -> None:
    names = (parse_reference("app:1"), parse_reference("quay.io/x/y"))
    found = members(export(image._replace(names=names), tmp_path / "a.tar", docker=True))
    (described,) = json.loads(found["manifest.json"])
    config = json.loads(found[described["Config"]])

    assert list(found)[:3] == ["oci-layout", "index.json", "manifest.json"]
    assert described["RepoTags"] == ["app:1", "quay.io/x/y:latest"]
    assert len(described["Layers"]) == len(config["rootfs"]["diff_ids"]) == 2
    assert all(name in found for name in described["Layers"])


def test_what_is_no_image_is_no_docker_archive(store: Store, tmp_path: Path) -> None:
    config = store.blobs.put_bytes(mediatypes.EMPTY, b"{}")
    manifest = store.blobs.put_bytes(mediatypes.MANIFEST, Manifest(config, ()).encode())
    with pytest.raises(DocumentError, match="not an image"):
        export(StoredImage(store.blobs, manifest), tmp_path / "a", docker=True)
    assert os.listdir(tmp_path) == ["store"]


def test_of_an_index_dockers_archive_takes_the_machines_own_image(store: Store, tmp_path: Path) -> None:
    mine = put_image(store, {"a": b"1"}).manifest._replace(platform=host())
    missing = Descriptor(mediatypes.MANIFEST, sha256_of(b"x"), 1, platform=Platform("linux", "other"))
    index = store.blobs.put_bytes(mediatypes.INDEX, Index((missing, mine)).encode())
    both = members(export(StoredImage(store.blobs, index), tmp_path / "oci"))
    found = members(export(StoredImage(store.blobs, index), tmp_path / "docker", docker=True))

    assert f"blobs/sha256/{index.digest[7:]}" in both
    assert f"blobs/sha256/{index.digest[7:]}" not in found
    assert json.loads(found["index.json"])["manifests"][0]["digest"] == mine.digest


def test_two_platforms_do_not_fit_into_dockers_archive(store: Store, tmp_path: Path) -> None:
    mine = put_image(store, {"a": b"1"}).manifest._replace(platform=host())
    other = put_image(store, {"a": b"2"}).manifest._replace(platform=Platform("linux", "other"))
    index = store.blobs.put_bytes(mediatypes.INDEX, Index((other, mine)).encode())
    with pytest.raises(ExportError, match="holds one platform, and the image is for linux/other, ") as caught:
        export(StoredImage(store.blobs, index), tmp_path / "docker", docker=True)
    assert caught.value.hint == "choose one with --platform, or write an OCI archive"
    assert os.listdir(tmp_path) == ["store"]


def test_several_images_share_an_archive(store: Store, tmp_path: Path) -> None:
    """What they share is in it once; a tag that two of them have is written as the whole name."""
    names = [(parse_reference(name).or_latest() for name in text.split()) for text in ("app:1 app:2", "web:3", "db:1")]
    layers: list[list[dict[str, bytes]]] = [[{"a": b"1"}], [{"a": b"1"}, {"b": b"2"}], [{"c": b"3"}]]
    built = [put_image(store, *files).manifest for files in layers]
    images = [StoredImage(store.blobs, *pair) for pair in zip(built, map(tuple, names), strict=True)]

    def refs(count: int) -> list[str]:
        ArchiveExporter(str(tmp_path / "a"), docker=True).export_all(images[:count], io.BytesIO())
        found = members((tmp_path / "a").read_bytes())
        described = json.loads(found["manifest.json"])
        assert [image["RepoTags"] for image in described] == [["app:1", "app:2"], ["web:3"], ["db:1"]][:count]
        assert described[0]["Layers"][0] == described[1]["Layers"][0]
        entries = json.loads(found["index.json"])["manifests"]
        return [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in entries]

    assert refs(2) == ["1", "2", "3"]
    library = "docker.io/library/"
    assert refs(3) == [f"{library}app:1", f"{library}app:2", f"{library}web:3", f"{library}db:1"]


def failing(store: Store, image: StoredImage) -> StoredImage:
    """The image with a damaged layer, as another process sees it."""
    layer = parse_manifest(store.blobs.read(image.manifest)).layers[-1]
    Path(store.blobs.path(layer.digest)).write_bytes(bytes(layer.size))
    return image._replace(blobs=Store.open(store.root).blobs)


def test_a_failure_leaves_the_old_file_and_nothing_else(store: Store, image: StoredImage, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.tar").write_text("old")
    broken = failing(store, image)
    with pytest.raises(StoreError, match="damaged"):
        export(broken, out / "a.tar")

    assert os.listdir(out) == ["a.tar"]
    assert (out / "a.tar").read_text() == "old"


def test_a_manifest_that_lies_about_a_size_is_not_exported(store: Store, tmp_path: Path) -> None:
    image = put_image(store, {"a": b"1"})
    manifest = json.loads(image.manifest_bytes)
    manifest["layers"][0]["size"] += 1
    lying = store.blobs.put_bytes(mediatypes.MANIFEST, json.dumps(manifest).encode())
    with pytest.raises(DocumentError, match="announces"):
        export(StoredImage(store.blobs, lying), tmp_path / "a")


def test_a_missing_layer_is_an_error_that_names_it(store: Store, tmp_path: Path) -> None:
    image = put_image(store, {"a": b"1"})
    digest = image.layers[0].descriptor.digest
    os.unlink(store.blobs.path(digest))
    with pytest.raises(StoreError, match=digest):
        export(StoredImage(store.blobs, image.manifest), tmp_path / "a")


def test_layers_that_need_not_be_there_are_left_out(store: Store, tmp_path: Path) -> None:
    image = put_image(store, {"a": b"1"})
    manifest = json.loads(image.manifest_bytes)
    manifest["layers"] = [describe(mediatypes.DOCKER_FOREIGN, b"elsewhere")._replace(urls=("http://x/y",)).as_json()]
    foreign = store.blobs.put_bytes(mediatypes.MANIFEST, json.dumps(manifest).encode())
    found = members(export(StoredImage(store.blobs, foreign), tmp_path / "a"))
    assert len(found) == 4 + 2


def test_destinations_that_cannot_be_are_refused_with_a_hint(image: StoredImage, tmp_path: Path) -> None:
    for dest in (tmp_path, tmp_path / "no" / "such", Path("/proc/x.tar")):
        with pytest.raises(ExportError) as caught:
            export(image, dest)
        assert caught.value.hint


def test_a_new_file_has_the_usual_mode_and_replaces_a_link_not_its_target(image: StoredImage, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("canary")
    (tmp_path / "a.tar").symlink_to("target")
    mask = os.umask(0o027)
    try:
        export(image, tmp_path / "a.tar")
    finally:
        os.umask(mask)

    assert (tmp_path / "target").read_text() == "canary"
    assert stat.S_IMODE(os.lstat(tmp_path / "a.tar").st_mode) == 0o640


def test_a_device_is_written_and_stays_a_device(image: StoredImage) -> None:
    ArchiveExporter("/dev/null", docker=False).export(image, io.BytesIO())
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(ExportError, match="No space"):
        ArchiveExporter("/dev/full", docker=False).export(image, io.BytesIO())


def test_a_reader_that_goes_away_is_an_export_error(image: StoredImage) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(ExportError, match="standard output"), open(writing, "wb", buffering=0) as out:
        ArchiveExporter("-", docker=False).export(image, out)


def test_a_big_layer_needs_little_memory(store: Store, tmp_path: Path) -> None:
    import tracemalloc

    big = {"big": os.urandom(1 << 20) * 24}
    image = StoredImage(Store.open(store.root).blobs, put_image(store, big).manifest)
    del big
    tracemalloc.start()
    ArchiveExporter(str(tmp_path / "a"), docker=False).export(image, io.BytesIO())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 8 << 20
    assert hashlib.sha256((tmp_path / "a").read_bytes()).digest()
