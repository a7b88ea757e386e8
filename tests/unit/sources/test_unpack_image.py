"""The layers of a base image: several are unpacked at once, each once, and none that is not what it should be."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from builder.errors import ArchiveError, Cancelled, StoreError
from builder.layers import unpack as unpacking
from builder.oci.descriptor import Descriptor
from builder.oci.digest import hex_of
from builder.oci.platform import host
from builder.oci.reference import parse_reference
from builder.oci.resolved import ResolvedImage
from builder.snapshots.snapshot import Snapshot
from builder.snapshots.view import View
from builder.sources.base_layers import BaseLayers, Halt
from builder.sources.image import load_image, resolve, unpack_image
from builder.store.store import Store
from tests.support.fake_remote import FakeRemote
from tests.support.images import put_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from builder.oci.reference import Reference

WAIT = 20.0


class Stop:
    def __init__(self) -> None:
        self.raised = False

    def is_set(self) -> bool:
        return self.raised


class World:
    """A store, another one that is a registry's, and what is pinned of images."""

    def __init__(self, near: Store, far: Store) -> None:
        self.near, self.far = near, far
        self.remote = FakeRemote(far, near)
        self.stop = Stop()
        self.layers = BaseLayers(near, self.remote, Halt(self.stop))

    def pin(self, *layers: dict[str, bytes], store: Store | None = None) -> ResolvedImage:
        image = resolve("app:1", put_image(store or self.near, *layers).manifest, store or self.near, host())
        self.layers.add(image, parse_reference("app:1").or_latest() if store else None)
        return image

    def unpack(self, image: ResolvedImage) -> Snapshot:
        return unpack_image(image.manifest, self.layers, self.near, "recorded", self.stop, lambda *moved: None)

    def published(self) -> list[str]:
        place = Path(self.near.trees.path("layers", "recorded", "x")).parent
        return sorted(os.listdir(place)) if place.exists() else []

    def tree(self, image: ResolvedImage, number: int) -> str:
        return self.near.trees.path("layers", "recorded", hex_of(image.layers[number].diff_id))

    def staged(self) -> list[str]:
        return [path.name for path in Path(self.near.blobs.root, "tmp").rglob("*") if "layer" in path.name]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store.open(str(tmp_path / "near")) as near, Store.open(str(tmp_path / "far")) as far:
        yield World(near, far)


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of four processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})


def each_unpack(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None]) -> list[str]:
    """Do this before a layer is unpacked; the trees that were."""
    trees: list[str] = []
    really = unpacking.unpack

    def unpack(stream: Any, tree: str, **how: Any) -> Any:
        before()
        trees.append(tree)
        return really(stream, tree, **how)

    monkeypatch.setattr(unpacking, "unpack", unpack)
    return trees


def test_layers_are_unpacked_at_the_same_time(world: World, four: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for three others: they are under way at once, and the fifth to the eighth only then."""
    four_of_them, started = threading.Barrier(4), threading.Semaphore(4)

    def before() -> None:
        assert started.acquire(blocking=False), "a fifth at once"
        four_of_them.wait(WAIT)
        started.release()

    world.layers = BaseLayers(world.near, world.remote, Halt(world.stop))
    image = world.pin(*({f"f{number}": b"x"} for number in range(8)))
    each_unpack(monkeypatch, before)
    snapshot = world.unpack(image)

    assert [os.listdir(f"{tree}/diff") for tree in snapshot.trees] == [[f"f{number}"] for number in reversed(range(8))]


def test_one_layer_is_unpacked_while_another_still_comes(world: World, four: None) -> None:
    """The lowest layer is the slow one here: nothing that has come waits for it."""
    image = world.pin({"low": b"x"}, {"high": b"y"}, store=world.far)
    upper = threading.Event()
    bring = world.remote.layer

    def layer(reference: Reference, wanted: Descriptor, moved: Callable[[str, int, int], None]) -> None:
        if wanted.digest == image.layers[0].descriptor.digest:
            upper.wait(WAIT)
            assert upper.is_set()
        bring(reference, wanted, moved)

    def look() -> None:
        while not upper.wait(0.01):
            if os.path.isdir(world.tree(image, 1)):
                upper.set()

    world.remote.layer = layer  # type: ignore[method-assign]
    threading.Thread(target=look, daemon=True).start()
    world.unpack(image)
    assert len(world.published()) == 2


def test_a_layer_of_two_images_is_unpacked_once(world: World, four: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = {"shared": b"s" * 100_000}
    images = [world.pin(shared, {"a": b"a"}, shared), world.pin(shared, {"b": b"b"})]
    trees = each_unpack(monkeypatch, lambda: None)
    threads = [threading.Thread(target=world.unpack, args=(image,)) for image in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trees) == len(world.published()) == 3


def test_what_a_layer_only_implies_goes_by_the_layers_below(world: World) -> None:
    """One layer, unpacked once, above two others; a third image needs nothing, and pays nothing."""
    shared = {"d/x": b"x"}
    over, beside = world.pin({"d/": b""}, shared), world.pin({"d": b"a file"}, shared)
    diff_ids = [layer.diff_id for layer in over.layers]

    snapshots = [world.unpack(image) for image in (over, beside)]
    world.unpack(world.pin(shared))
    published = world.published()

    modes = [stat.S_IMODE(View(snapshot, "recorded").entry("d").mode) for snapshot in snapshots]  # type: ignore[union-attr]
    assert modes == [0o711, 0o755]
    assert [name.endswith(".attributes") for name in published].count(True) == 2
    assert len(published) == 5
    assert load_image(diff_ids, world.near, "recorded") == snapshots[0] == world.unpack(over)
    assert world.published() == published


def test_an_image_is_not_there_without_what_its_layers_only_imply(world: World) -> None:
    image = world.pin({"d/": b""}, {"d/x": b"x"})
    diff_ids = [layer.diff_id for layer in image.layers]
    snapshot = world.unpack(image)
    subprocess.run(["rm", "-r", snapshot.trees[0]], check=True)

    assert load_image(diff_ids, world.near, "recorded") is None
    assert world.unpack(image) == snapshot
    assert os.path.isdir(f"{snapshot.trees[0]}/diff/d")


def test_a_layer_of_another_diff_id_is_never_published(world: World) -> None:
    """K3: the config is what was signed; bytes that unpack well but to something else are not the image."""
    good, other = world.pin({"f": b"good"}), world.pin({"f": b"other"})
    forged = good._replace(
        manifest="sha256:" + "0" * 64, layers=(good.layers[0]._replace(diff_id=other.layers[0].diff_id),)
    )
    world.layers.add(forged, None)

    with pytest.raises(
        ArchiveError, match=f"layer {good.layers[0].descriptor.digest} unpacks to .* but the image config"
    ):
        world.unpack(forged)
    assert (world.published(), world.staged()) == ([], [])


def test_a_damaged_blob_is_told_and_removed_even_where_its_archive_is_wrong_first(world: World) -> None:
    image = world.pin({"f": os.urandom(4_000_000)})
    digest = image.layers[0].descriptor.digest
    path = world.near.blobs.path(digest)
    os.chmod(path, 0o600)
    with open(path, "r+b") as blob:
        blob.seek(100)
        blob.write(b"\xff" * 1000)
    world.near.blobs._verified.clear()

    with pytest.raises(StoreError, match=f"blob {digest} in .* is damaged and has been removed"):
        world.unpack(image)
    assert (world.published(), world.staged(), world.near.blobs.has(digest)) == ([], [], False)


def test_the_failure_is_told_and_not_that_the_others_were_stopped(
    world: World, four: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second layer fails while the first one is under way: that one is stopped, and nothing of it stays."""
    image = world.pin({"low": b"l" * 5_000_000}, {"high": b"h"})
    began, really = threading.Event(), unpacking.unpack

    def unpack(stream: Any, tree: str, *, watch: Callable[[bytes], None], **how: Any) -> Any:
        if stream._digest == image.layers[1].descriptor.digest:
            assert began.wait(WAIT)
            raise ArchiveError("it is not whole")

        def slow(piece: bytes) -> None:
            began.set()
            for _ in range(2000):
                watch(piece)
                threading.Event().wait(0.01)

        return really(stream, tree, watch=slow, **how)

    monkeypatch.setattr(unpacking, "unpack", unpack)
    world.near.blobs._verified.clear()
    with pytest.raises(ArchiveError, match=f"layer {image.layers[1].descriptor.digest}: it is not whole"):
        world.unpack(image)
    assert (world.published(), world.staged()) == ([], [])


def test_a_stopped_build_stops_unpacking(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    image = world.pin({"f": b"f"}, {"g": b"g"})

    def stop() -> None:
        world.stop.raised = True

    each_unpack(monkeypatch, stop)
    with pytest.raises(Cancelled):
        world.unpack(image)
    assert (world.published(), world.staged()) == ([], [])


def test_a_full_disk_is_told_with_the_layer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    image = world.pin({"f": b"f"})

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpacking, "create_tree", fail)
    with pytest.raises(StoreError, match=f"layer {image.layers[0].descriptor.digest}: .*No space left on device"):
        world.unpack(image)
    assert (world.published(), world.staged()) == ([], [])
