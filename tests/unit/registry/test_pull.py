"""Images of real registries in the store: what is asked for, what is kept, and what is not asked for twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.errors import NetworkError, NotFound, RegistryError
from builder.events import Event, Notice, StepFailed, StepFinished, StepStarted, StepTransfer
from builder.net.client import Client, Patience
from builder.oci import mediatypes
from builder.oci.descriptor import Descriptor
from builder.oci.platform import parse_platform
from builder.oci.reference import parse_reference
from builder.registry.options import RegistryOptions
from builder.registry.pull import documents, layers, pull
from builder.registry.registry import Registry
from builder.store.images import closure
from builder.store.store import Store
from tests.support.registries import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Pushed
from tests.support.registries import Registry as Server

ARM64, AMD64 = parse_platform("arm64"), parse_platform("amd64")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    environ = {"HOME": str(tmp_path)}
    client = Client(threading.Event(), Patience(tries=2, delay=0.01), environ)
    with Registry(RegistryOptions(), environ, threading.Event(), client=client) as registry:
        yield registry


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "store")) as store:
        yield store


class Two:
    """An index of two images that share a layer."""

    def __init__(self, server: Server, name: str) -> None:
        shared = {"shared": b"s"}
        self.amd64 = server.push(name, "amd64", shared, {"a": b"amd64"})
        self.arm64 = server.push(name, "arm64", shared, {"a": b"arm64"}, platform="linux/arm64")
        self.index = server.push_index(name, "both", {"linux/amd64": self.amd64, "linux/arm64": self.arm64})


def has(store: Store, image: Pushed) -> list[bool]:
    """Manifest, config and layers."""
    return [store.blobs.has(digest) for digest in (image.digest, image.config, *image.layers)]


def test_an_image_comes_whole_and_is_named(plain_registry: Server, registry: Registry, store: Store) -> None:
    image = plain_registry.push("pull/whole", "1", {"a": b"1"}, {"b": b"x" * 2_000_000})
    events: list[Event] = []

    root = pull(registry, parse_reference(image.reference), store, None, events.append)

    assert root == Descriptor(OCI_MANIFEST, image.digest, len(image.manifest))
    assert store.tags.get(image.reference) is not None
    assert len(closure(store.blobs, root)) == 4
    assert store.blobs.read(root) == image.manifest
    assert [type(event) for event in events if not isinstance(event, StepTransfer)] == [StepStarted, StepFinished]
    ended = {event.digest for event in events if isinstance(event, StepTransfer) and event.current == event.total}
    assert ended == {image.config, *image.layers}


def test_docker_media_types_are_kept(plain_registry: Server, registry: Registry, store: Store) -> None:
    image = plain_registry.push("pull/docker", "1", docker=True)
    assert pull(registry, parse_reference(image.reference), store).media_type == mediatypes.DOCKER_MANIFEST
    assert all(has(store, image))


def test_a_second_pull_asks_for_the_tag_alone(plain_registry: Server, registry: Registry, store: Store) -> None:
    image = plain_registry.push("pull/twice", "1")
    pull(registry, parse_reference(image.reference), store)
    before = len(plain_registry.requests())
    pull(registry, parse_reference(image.reference), store)
    assert plain_registry.requests()[before:] == ["GET /v2/pull/twice/manifests/1"]


def test_of_an_index_comes_what_is_wanted(plain_registry: Server, registry: Registry, store: Store) -> None:
    two = Two(plain_registry, "pull/index")
    reference = parse_reference(two.index.reference)

    assert pull(registry, reference, store, ARM64).digest == two.index.digest
    assert all(has(store, two.arm64))
    assert has(store, two.amd64) == [False, False, True, False]  # the layer that they share

    pull(registry, reference, store)
    assert all(has(store, two.amd64))


def test_a_platform_that_is_not_there_is_told(plain_registry: Server, registry: Registry, store: Store) -> None:
    two = Two(plain_registry, "pull/absent")
    events: list[Event] = []
    with pytest.raises(NotFound, match="linux/s390x") as caught:
        pull(registry, parse_reference(two.index.reference), store, parse_platform("s390x"), events.append)
    assert caught.value.hint == "it is there for linux/amd64, linux/arm64"
    assert isinstance(events[-1], StepFailed)
    assert store.tags.get(two.index.reference) is None


def test_an_image_for_one_platform_is_taken_with_a_warning(
    plain_registry: Server, registry: Registry, store: Store
) -> None:
    image = plain_registry.push("pull/other", "1", platform="linux/arm64")
    events: list[Event] = []
    pull(registry, parse_reference(image.reference), store, AMD64, events.append)
    warning = next(event for event in events if isinstance(event, Notice))
    assert "is there for linux/arm64 alone, not for linux/amd64" in warning.message


def test_documents_come_without_layers(plain_registry: Server, registry: Registry, store: Store) -> None:
    two = Two(plain_registry, "pull/documents")
    reference = parse_reference(two.index.reference)
    documents(registry, reference, store, AMD64)
    assert has(store, two.amd64) == [True, True, False, False]
    assert has(store, two.arm64) == [False] * 4
    assert store.tags.get(two.index.reference) is not None

    wanted = [Descriptor(OCI_LAYER, digest, size) for digest, size in sizes(two.amd64).items()]
    layers(registry, reference, store, wanted)
    assert all(has(store, two.amd64))


def sizes(image: Pushed) -> dict[str, int]:
    return {layer["digest"]: layer["size"] for layer in json.loads(image.manifest)["layers"]}


def test_by_digest(plain_registry: Server, registry: Registry, store: Store) -> None:
    image = plain_registry.push("pull/digest", "1")
    reference = parse_reference(f"{plain_registry.host}/pull/digest@{image.digest}")
    pull(registry, reference, store)
    assert store.tags.get(str(reference)) is not None


def test_what_a_tag_stands_for(plain_registry: Server, registry: Registry) -> None:
    image = plain_registry.push("pull/head", "1")
    found = registry.head(parse_reference(image.reference))
    assert found == Descriptor(OCI_MANIFEST, image.digest, len(image.manifest))
    assert registry.head(parse_reference(f"{plain_registry.host}/pull/head:none")) is None


def test_an_image_that_is_not_there(plain_registry: Server, registry: Registry, store: Store) -> None:
    with pytest.raises(RegistryError, match="404") as caught:
        pull(registry, parse_reference(f"{plain_registry.host}/pull/none:1"), store)
    assert caught.value.exit_status == 5


def test_a_layer_that_the_registry_lost_leaves_no_image(
    plain_registry: Server, registry: Registry, store: Store
) -> None:
    image = plain_registry.push("pull/lost", "1", {"a": b"gone"}, {"b": b"here"})
    plain_registry.request("DELETE", f"/v2/pull/lost/blobs/{image.layers[0]}")
    with pytest.raises(RegistryError, match=image.layers[0]):
        pull(registry, parse_reference(image.reference), store)
    assert store.tags.get(image.reference) is None


def test_a_foreign_layer_is_left_out_and_told(plain_registry: Server, registry: Registry, store: Store) -> None:
    """Its address is the document's, not the user's: it is never asked."""
    name, digest = "pull/foreign", "sha256:" + "1" * 64
    config: dict[str, Any] = {"architecture": "amd64", "os": "linux"}
    text = json.dumps({**config, "rootfs": {"type": "layers", "diff_ids": [digest]}}).encode()
    layer = {"mediaType": mediatypes.DOCKER_FOREIGN, "digest": digest, "size": 5, "urls": [f"{plain_registry.url}/x"]}
    described = {"mediaType": OCI_CONFIG, "digest": plain_registry.put_blob(name, text), "size": len(text)}
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": [layer]}
    plain_registry.put_manifest(name, "1", OCI_MANIFEST, json.dumps(manifest).encode())
    events: list[Event] = []

    pull(registry, parse_reference(f"{plain_registry.host}/{name}:1"), store, AMD64, events.append)

    assert [event for event in events if isinstance(event, Notice) and digest in event.message]
    assert not [line for line in plain_registry.requests() if line.endswith(("/x", digest))]


def test_offline_asks_nobody(plain_registry: Server) -> None:
    before = len(plain_registry.requests())
    with Registry(RegistryOptions(), {}, threading.Event(), offline=True) as registry:
        for use in (registry.manifest, registry.head):
            with pytest.raises(NetworkError, match="--offline forbids"):
                use(parse_reference(f"{plain_registry.host}/pull/whole:1"))
    assert len(plain_registry.requests()) == before
