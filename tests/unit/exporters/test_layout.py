"""type=oci,tar=false: a directory that other images and builds may be in, too."""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.errors import ExportError
from builder.exporters.exporter import StoredImage
from builder.exporters.layout import LayoutExporter
from builder.oci.reference import parse_reference
from builder.store.store import Store
from tests.support.images import put_image
from tests.support.schemas import faults


def export(image: StoredImage, dest: Path) -> None:
    LayoutExporter(str(dest)).export(image, io.BytesIO())


def tags(dest: Path) -> dict[str, str]:
    index = json.loads((dest / "index.json").read_text())
    return {each["annotations"]["org.opencontainers.image.ref.name"]: each["digest"] for each in index["manifests"]}


def named(store: Store, name: str, text: bytes = b"x") -> StoredImage:
    return StoredImage(store.blobs, put_image(store, {"f": text}).manifest, (parse_reference(name),))


def test_a_new_layout_is_valid_and_holds_only_the_image(image: StoredImage, tmp_path: Path) -> None:
    export(image, tmp_path / "d" / "e")
    found = tmp_path / "d" / "e"

    assert sorted(os.listdir(found)) == ["blobs", "index.json", "oci-layout"]
    assert len(os.listdir(found / "blobs" / "sha256")) == 4
    assert faults("layout", (found / "oci-layout").read_bytes()) == []
    assert faults("index", (found / "index.json").read_bytes()) == []


def test_other_tags_of_an_existing_layout_are_kept(store: Store, tmp_path: Path) -> None:
    one, two, three = (named(store, name, name.encode()) for name in ("a:1", "b:2", "c:1"))
    for image in (one, two, two, three):
        export(image, tmp_path / "d")

    assert tags(tmp_path / "d") == {"2": two.manifest.digest, "1": three.manifest.digest}


def test_what_others_wrote_into_the_index_is_kept(store: Store, tmp_path: Path) -> None:
    export(named(store, "a:1"), tmp_path / "d")
    index = json.loads((tmp_path / "d" / "index.json").read_text())
    index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = "theirs"
    index["manifests"][0]["new"] = 1
    (tmp_path / "d" / "index.json").write_text(json.dumps(index))
    export(named(store, "a:1"), tmp_path / "d")

    assert set(tags(tmp_path / "d")) == {"theirs", "1"}
    assert json.loads((tmp_path / "d" / "index.json").read_text())["manifests"][0]["new"] == 1


def test_several_builds_may_add_to_one_layout_at_a_time(store: Store, tmp_path: Path) -> None:
    images = [named(store, f"a:{number}", b"%d" % number) for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda image: export(image, tmp_path / "d"), images))

    assert set(tags(tmp_path / "d")) == {str(number) for number in range(16)}


def test_a_directory_with_other_things_is_refused_untouched(image: StoredImage, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.tex").touch()
    with pytest.raises(ExportError, match="other things") as caught:
        export(image, tmp_path / "d")

    assert caught.value.hint
    assert os.listdir(tmp_path / "d") == ["thesis.tex"]


@pytest.mark.parametrize("link", ["blobs", "blobs/sha256"])
def test_links_in_the_layout_do_not_lead_the_blobs_away(image: StoredImage, tmp_path: Path, link: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    export(image, tmp_path / "d")
    os.rename(tmp_path / "d" / link, tmp_path / "moved")
    (tmp_path / "d" / link).symlink_to(elsewhere)
    with pytest.raises(ExportError, match="symbolic link"):
        export(image, tmp_path / "d")
    assert os.listdir(elsewhere) == []


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(image: StoredImage, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("canary")
    export(image, tmp_path / "d")
    index, blob = (
        tmp_path / "d" / "index.json",
        tmp_path / "d" / "blobs" / image.manifest.digest.replace(":", "/"),
    )
    for path in (index, blob):
        path.unlink()
    blob.symlink_to(canary)
    index.symlink_to(tmp_path / "nowhere")
    export(image, tmp_path / "d")

    assert canary.read_text() == "canary"
    assert not blob.is_symlink()
    assert not index.is_symlink()


def test_a_short_blob_left_by_somebody_is_replaced(image: StoredImage, tmp_path: Path) -> None:
    export(image, tmp_path / "d")
    blob = tmp_path / "d" / "blobs" / image.manifest.digest.replace(":", "/")
    blob.write_bytes(b"")
    export(image, tmp_path / "d")
    assert blob.stat().st_size == image.manifest.size


def test_a_damaged_index_is_refused(image: StoredImage, tmp_path: Path) -> None:
    export(image, tmp_path / "d")
    (tmp_path / "d" / "index.json").write_text("{")
    with pytest.raises(ExportError, match=r"index\.json"):
        export(image, tmp_path / "d")


def test_a_file_in_the_place_of_the_directory_is_refused(image: StoredImage, tmp_path: Path) -> None:
    (tmp_path / "d").touch()
    with pytest.raises(ExportError):
        export(image, tmp_path / "d")
