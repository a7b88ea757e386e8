"""Tags are durable and shared, records may be lost but never wrong, trees are there whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from builder.errors import StoreError
from builder.oci.descriptor import Descriptor
from builder.oci.digest import sha256_of
from builder.oci.mediatypes import MANIFEST
from builder.store.store import Store
from tests.support.schemas import faults

ONE = Descriptor(MANIFEST, sha256_of(b"1"), 1)
TWO = Descriptor(MANIFEST, sha256_of(b"2"), 1, annotations=(("kept", "yes"),))
KEY = "ab" * 32


def test_a_tag_stands_for_the_last_image_that_it_was_set_to(store: Store) -> None:
    store.tags.set("docker.io/library/b:1", ONE)
    store.tags.set("docker.io/library/a:1", ONE)
    store.tags.set("docker.io/library/a:1", TWO)
    found = store.tags.get("docker.io/library/a:1")

    assert found is not None
    assert found.plain() == TWO.plain()
    assert found.annotation("kept") == "yes"
    assert [name for name, _ in store.tags.all()] == ["docker.io/library/a:1", "docker.io/library/b:1"]
    assert faults("index", (Path(store.root) / "index.json").read_bytes()) == []


def test_removing_a_tag_says_whether_it_was_there(store: Store) -> None:
    store.tags.set("a:1", ONE)

    assert store.tags.remove("a:1")
    assert not store.tags.remove("a:1")
    assert store.tags.get("a:1") is None


def test_setting_a_tag_to_what_it_is_writes_nothing(store: Store) -> None:
    store.tags.set("a:1", ONE)
    before = os.stat(f"{store.root}/index.json")
    store.tags.set("a:1", ONE)

    assert os.path.samestat(os.stat(f"{store.root}/index.json"), before)


def test_what_others_wrote_into_the_index_is_kept(store: Store) -> None:
    index = Path(store.root) / "index.json"
    other = {"mediaType": MANIFEST, "digest": ONE.digest, "size": 1, "new": [1]}
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": [other], "newer": {"x": 1}}))
    store.tags.set("a:1", TWO)
    found = json.loads(index.read_text())

    assert found["manifests"][0] == other
    assert found["newer"] == {"x": 1}


def test_a_damaged_index_is_named_and_removing_it_helps(store: Store) -> None:
    index = Path(store.root) / "index.json"
    index.write_text('{"schemaVersion":2')
    with pytest.raises(StoreError, match=r"index\.json is damaged") as caught:
        store.tags.all()
    assert "remove that file" in str(caught.value.hint)

    index.unlink()
    store.tags.set("a:1", ONE)
    assert store.tags.get("a:1")


def test_a_record_is_read_back(store: Store) -> None:
    record: dict[str, object] = {"snapshot": "x", "n": [1, 2.5, None], "ü": {"\udcff": True}}
    store.records.put(KEY, record)
    store.records.put("cd" * 32, {})

    assert store.records.get(KEY) == record
    assert store.records.get("cd" * 32) == {}
    assert store.records.get("ef" * 32) is None
    assert json.loads(Path(store.records.path(KEY)).read_text())["record"] == record


def test_every_torn_or_flipped_record_is_a_miss(store: Store) -> None:
    store.records.put(KEY, {"snapshot": "0123", "size": 17})
    path = Path(store.records.path(KEY))
    good = path.read_bytes()

    for length in range(len(good)):
        path.write_bytes(good[:length])
        assert store.records.get(KEY) is None
        path.write_bytes(good[:length] + bytes([good[length] ^ 1]) + good[length + 1 :])
        assert store.records.get(KEY) is None
    path.write_bytes(good + b"\n")
    assert store.records.get(KEY) is None
    path.write_bytes(good)
    assert store.records.get(KEY)


def test_a_directory_in_the_place_of_a_record_is_a_miss(store: Store) -> None:
    os.makedirs(store.records.path(KEY))
    assert store.records.get(KEY) is None


def test_removing_a_record_that_is_not_there_is_success(store: Store) -> None:
    store.records.put(KEY, {})
    store.records.remove(KEY)
    store.records.remove(KEY)
    assert store.records.get(KEY) is None


@pytest.mark.parametrize("key", ["", "../../../x", "AB" * 32, "ab/cd", "abcdef\n"])
def test_only_hex_names_a_record(store: Store, key: str) -> None:
    with pytest.raises(StoreError):
        store.records.get(key)


def test_a_published_tree_is_in_its_place_and_scratch_is_gone(store: Store) -> None:
    with store.trees.scratch("t") as path:
        (Path(path) / "diff").mkdir()
        place = store.trees.publish(path, "layers", "recorded", "ab")

    assert place == f"{store.root}/layers/recorded/ab" == store.trees.path("layers", "recorded", "ab")
    assert os.listdir(place) == ["diff"]
    assert store.trees.exists("layers", "recorded", "ab")
    assert not store.trees.exists("layers", "real", "ab")


def test_publishing_what_is_there_is_success_and_changes_nothing(store: Store) -> None:
    for content in ("first", "second"):
        with store.trees.scratch() as path:
            (Path(path) / "f").write_text(content)
            place = store.trees.publish(path, "snapshots", "real", "ab")
        assert not os.path.exists(path)
    assert (Path(place) / "f").read_text() == "first"


def test_scratch_is_removed_whatever_is_in_it(store: Store, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "f").touch()
    with pytest.raises(ZeroDivisionError), store.trees.scratch() as path:
        os.makedirs(f"{path}/work/work/a", mode=0o700)
        os.symlink(canary, f"{path}/work/link")
        os.mkfifo(f"{path}/work/fifo")
        os.chmod(f"{path}/work/work", 0)
        raise ZeroDivisionError

    assert not os.path.exists(path)
    assert (canary / "f").exists()


def test_a_tree_deeper_than_any_path_is_removed(store: Store) -> None:
    with store.trees.scratch() as path:
        here = os.open(path, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("d" * 50, dir_fd=here)
            below = os.open("d" * 50, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)

    assert not os.path.exists(path)


def test_removing_a_tree(store: Store) -> None:
    with store.trees.scratch() as path:
        (Path(path) / "f").touch()
        store.trees.publish(path, "layers", "real", "x")

    assert store.trees.remove("layers", "real", "x")
    assert store.trees.remove("layers", "real", "x")
    assert not store.trees.exists("layers", "real", "x")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\n", ".hidden"])
def test_only_plain_names_name_a_tree(store: Store, name: str) -> None:
    with pytest.raises(StoreError):
        store.trees.path("layers", "real", name)
