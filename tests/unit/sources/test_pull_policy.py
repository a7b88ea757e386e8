"""Who is asked for an image, and when: --pull against what the store has and what the registry says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from builder.errors import BuildError, NetworkError, NotFound, NotSupported, OfflineError, RegistryError, Span
from builder.oci import mediatypes
from builder.oci.assemble import assemble, assemble_index
from builder.oci.config import ImageConfig
from builder.oci.descriptor import Descriptor, describe
from builder.oci.platform import Platform, host, parse_platform
from builder.registry.options import RegistryOptions
from builder.sources.base_layers import BaseLayers, Halt
from builder.sources.pins import NoPins
from builder.sources.remote import Refusing, Remote, never, offline
from builder.sources.resolver import NamedContexts, Resolver
from builder.sources.search import Search
from builder.store.store import Store
from tests.support.fake_remote import FakeRemote
from tests.support.images import put_image

SPAN = Span("Dockerfile", 3, 3)
NAME = "docker.io/library/app:1"
AMD64, ARM64 = parse_platform("amd64"), parse_platform("arm64")


class Nobody:
    def is_set(self) -> bool:
        return False


class World(NamedTuple):
    near: Store
    far: Store
    remote: FakeRemote

    def resolver(self, policy: str = "missing", remote: Remote | None = None, **named: str) -> Resolver:
        asked = remote or self.remote
        search = Search(self.near, asked, policy)
        layers = BaseLayers(self.near, asked, Halt(Nobody()))
        return Resolver(self.near, NamedContexts({}, named), search, layers)

    def resolve(self, policy: str = "missing", name: str = "app:1", platform: Platform | None = None) -> str:
        return self.resolver(policy).resolve(name, platform or host(), SPAN).manifest


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store.open(str(tmp_path / "near")) as near, Store.open(str(tmp_path / "far")) as far:
        yield World(near, far, FakeRemote(far, near))


def put(store: Store, content: str, tag: str = NAME) -> str:
    manifest = put_image(store, {"f": content.encode()}).manifest
    if tag:
        store.tags.set(tag, manifest)
    return manifest.digest


def put_index(store: Store, *platforms: str, tag: str = NAME, documents_of: int = 9) -> dict[str, str]:
    """An index of images whose layer says its platform; of the first few the documents are there."""
    entries = []
    for number, text in enumerate(platforms):
        platform = parse_platform(text)
        config = ImageConfig(os="linux", architecture=platform.architecture, variant=platform.variant)
        image = assemble(config, [])
        if number < documents_of:
            store.blobs.put_bytes(image.config.media_type, image.config_bytes)
            store.blobs.put_bytes(image.manifest.media_type, image.manifest_bytes)
        entries.append((image.manifest, platform))
    index = assemble_index(entries)
    store.tags.set(tag, store.blobs.put_bytes(index.media_type, index.encode()))
    return {text: entry.digest for text, (entry, _) in zip(platforms, entries, strict=True)}


TABLE = [
    # policy     in the store  the registry     is asked         what comes of it
    ("missing", "nothing", "has it", ["GET"], "the registry's"),
    ("missing", "nothing", "is down", ["GET"], NetworkError),
    ("missing", "nothing", "has nothing", ["GET"], RegistryError),
    ("missing", "an old one", "has it", [], "the store's"),
    ("missing", "an old one", "is down", [], "the store's"),
    ("always", "nothing", "has it", ["GET"], "the registry's"),
    ("always", "nothing", "is down", ["GET"], NetworkError),
    ("always", "an old one", "has it", ["HEAD", "GET"], "the registry's"),
    ("always", "an old one", "is down", ["HEAD"], NetworkError),
    ("always", "an old one", "has nothing", ["HEAD", "GET"], RegistryError),
    ("always", "the same", "has it", ["HEAD"], "the store's"),
    ("newer", "nothing", "has it", ["GET"], "the registry's"),
    ("newer", "nothing", "is down", ["GET"], NetworkError),
    ("newer", "an old one", "has it", ["HEAD", "GET"], "the registry's"),
    ("newer", "an old one", "is down", ["HEAD"], "the store's, with a warning"),
    ("newer", "an old one", "has nothing", ["HEAD", "GET"], "the store's, with a warning"),
    ("newer", "the same", "has it", ["HEAD"], "the store's"),
]


@pytest.mark.parametrize(("policy", "stored", "state", "asked", "outcome"), TABLE)
def test_the_table(
    world: World, policy: str, stored: str, state: str, asked: list[str], outcome: str | type[BuildError]
) -> None:
    theirs = put(world.far, "new") if state != "has nothing" else ""
    ours = {
        "nothing": lambda: "",
        "an old one": lambda: put(world.near, "old"),
        "the same": lambda: put(world.near, "new"),
    }
    kept = ours[stored]()
    world.remote.down = state == "is down"
    resolver = world.resolver(policy)
    if isinstance(outcome, str):
        wanted = theirs if "registry" in outcome else kept
        assert resolver.resolve("app:1", host(), SPAN).manifest == wanted
        assert bool(resolver.search.warnings) == ("warning" in outcome)
        tag = world.near.tags.get(NAME)
        assert tag and tag.digest == wanted
    else:
        with pytest.raises(outcome) as error:
            resolver.resolve("app:1", host(), SPAN)
        assert error.value.span == SPAN
    assert [question.split()[0] for question in world.remote.questions] == asked


REFUSALS: list[tuple[Callable[[str, str], BuildError], type[BuildError], str]] = [
    (never, NotFound, "--pull=never forbids to ask a registry"),
    (offline, OfflineError, "--offline forbids to pull it"),
]


@pytest.mark.parametrize(("refuse", "kind", "words"), REFUSALS)
def test_who_may_not_ask_takes_what_is_here_or_says_what_is_not(
    world: World, refuse: Callable[[str, str], BuildError], kind: type[BuildError], words: str
) -> None:
    refusing = Refusing(RegistryOptions(conf="/dev/null"), refuse)
    with pytest.raises(kind, match=words) as error:
        world.resolver("never", refusing).resolve("app:1", host(), SPAN)
    assert error.value.span == SPAN
    assert f"image app:1 for {host()}" in error.value.message
    assert "rbuild pull app:1" in (error.value.hint or "")
    ours = put(world.near, "old")
    assert world.resolver("never", refusing).resolve("app:1", host(), SPAN).manifest == ours


@pytest.mark.parametrize("policy", ["missing", "always", "newer"])
def test_a_digest_that_is_here_needs_nobody(world: World, policy: str) -> None:
    """With a tag or without, by any name, whether it is tagged itself or only in an index."""
    digests = put_index(world.near, "amd64", "arm64")
    index = world.near.tags.get(NAME)
    assert index
    for digest in (index.digest, digests["arm64"]):
        for name in (f"app@{digest}", f"other.example/b:2@{digest}"):
            assert world.resolve(policy, name, ARM64) == digests["arm64"]
    assert world.remote.questions == []


def test_a_digest_that_is_not_here_is_pulled(world: World) -> None:
    theirs = put(world.far, "new", tag="")
    assert world.resolve(name=f"app@{theirs}") == theirs
    assert world.remote.questions == [f"GET app@{theirs}"]
    assert world.resolve(name=f"app@{theirs}") == theirs
    assert len(world.remote.questions) == 1


def test_a_blob_that_is_no_manifest_is_no_image(world: World) -> None:
    blob = world.near.blobs.put_bytes("text/plain", b'{"schemaVersion": 2}')
    with pytest.raises(RegistryError):
        world.resolve(name=f"app@{blob.digest}")


def test_another_platform_of_an_index_that_is_here_is_fetched_by_digest(world: World) -> None:
    """Whatever the tag has become at the registry meanwhile."""
    digests = put_index(world.far, "amd64", "arm64")
    assert world.resolve(platform=AMD64) == digests["amd64"]
    put_index(world.far, "arm64", "s390x")
    world.remote.questions.clear()
    assert world.resolve(platform=ARM64) == digests["arm64"]
    assert world.remote.questions == ["REST app:1"]
    assert [name for name, _ in world.near.tags.all()] == [NAME]


def test_all_platforms_of_a_build_are_of_one_index(world: World) -> None:
    """Somebody pushes, and somebody else pulls, between two questions of one build."""
    digests = put_index(world.far, "amd64", "arm64")
    resolver = world.resolver("always")
    assert resolver.resolve("app:1", AMD64, SPAN).manifest == digests["amd64"]
    put_index(world.far, "arm64", "s390x")
    world.resolve("always", platform=parse_platform("s390x"))
    assert resolver.resolve("app:1", ARM64, SPAN).manifest == digests["arm64"]


@pytest.mark.parametrize("where", ["near", "far"])
def test_a_platform_that_there_is_not(world: World, where: str) -> None:
    put_index(getattr(world, where), "amd64", "linux/arm/v7", "unknown/unknown")
    with pytest.raises(NotFound, match="image app:1: the image is not there for linux/s390x") as error:
        world.resolve(platform=parse_platform("s390x"))
    assert error.value.hint == "it is there for linux/amd64, linux/arm/v7"
    assert error.value.span == SPAN


def test_a_context_that_is_an_image_follows_the_same_policy(world: World) -> None:
    theirs = put(world.far, "new")
    resolver = world.resolver(base="docker-image://app:1")
    assert resolver.resolve("base", host(), SPAN).manifest == theirs
    assert resolver.pinned.keys() == {(NAME, str(host()))}


def test_what_a_lock_says_is_taken_whatever_the_tag_is(world: World) -> None:
    put(world.near, "old")
    put(world.far, "new")
    locked = put(world.far, "locked", tag="")

    class Pins(NoPins):
        def image(self, name: str, platform: Platform) -> str | None:
            return locked if name == NAME else None

    resolver = world.resolver("always")
    resolver._pins = Pins()
    assert resolver.resolve("app:1", host(), SPAN).manifest == locked


def test_documents_come_alone_and_layers_when_they_are_wanted(world: World) -> None:
    digest = put(world.far, "x" * 999)
    resolver = world.resolver()
    image = resolver.resolve("app:1", host(), SPAN)
    assert not world.near.blobs.has(image.layers[0].descriptor.digest)
    moved: list[tuple[str, int, int]] = []
    layers = resolver.layers
    for _ in range(2):
        assert list(layers.brought(digest, layers[digest], lambda *each: moved.append(each), Nobody())) == [
            *image.layers
        ]
    size = image.layers[0].descriptor.size
    assert moved == [(image.layers[0].descriptor.digest, size, size)]
    assert layers.absent(digest) == []


def test_a_foreign_layer_is_refused(world: World) -> None:
    layer = Descriptor(mediatypes.DOCKER_FOREIGN, describe("", b"x").digest, 1, urls=("http://elsewhere.example/x",))
    image = assemble(ImageConfig(os="linux", architecture="amd64"), [])
    from builder.oci.assemble import Layer
    from builder.oci.resolved import ResolvedImage

    resolver = world.resolver()
    resolver.layers.add(
        ResolvedImage("app:1", image.manifest.digest, ImageConfig(), (Layer(layer, layer.digest),)),
        world.remote.qualify("app:1"),
    )
    with pytest.raises(NotSupported, match="app:1: layer sha256:.* is a foreign one"):
        list(resolver.layers.brought(image.manifest.digest, resolver.layers[image.manifest.digest], print, Nobody()))
    assert world.remote.questions == []
    assert resolver.layers.absent(image.manifest.digest) == []  # an image is whole without it


def test_several_images_are_asked_for_at_once_and_nothing_else(world: World) -> None:
    for name in ("a", "b", "c"):
        put(world.far, name, f"docker.io/library/{name}:1")
    put(world.near, "c", "docker.io/library/c:1")
    resolver = world.resolver()
    resolver.ahead = lambda: [("a:1", host()), ("b:1", host()), ("c:1", host())]
    resolver.resolve("c:1", host(), SPAN)
    assert world.remote.questions == []
    resolver.resolve("a:1", host(), SPAN)
    assert sorted(world.remote.questions) == ["GET a:1", "GET b:1"]
    resolver.resolve("b:1", host(), SPAN)
    assert len(world.remote.questions) == 2
