"""Pushing and pulling through a proxy that spoils what passes (G-T1, G-T3): a whole image, or a clear error.

A seed decides what goes wrong. Never: a wrong blob, an image by its name that is not whole, more than twice the bytes
of a blob, a credential at another host.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from builder.errors import AuthError, BuildError, NetworkError, RegistryError
from builder.net.client import Client, Patience
from builder.oci.descriptor import Descriptor
from builder.oci.reference import parse_reference
from builder.registry import destination, upload
from builder.registry.options import RegistryOptions
from builder.registry.pull import pull
from builder.registry.push import push
from builder.registry.registry import Registry
from builder.store.images import closure
from builder.store.store import Store
from tests.support.faulty import FAULTS, Faulty, Rules, Upstream
from tests.support.images import put_image
from tests.support.origin import Ask, Origin, Reply
from tests.support.registries import Registry as Server

WAITING = ("silence", "slow")  # take as long as nobody waits
BRISK = tuple(fault for fault in FAULTS if fault not in WAITING)
QUICK = Patience(connect=2, silence=0.25, tries=7, delay=0.0005, longest_delay=0.005)
RUNS = 5  # seeds of one test


class Sample(NamedTuple):
    """An image in a store, and all that belongs to it by digest."""

    store: Store
    root: Descriptor
    parts: tuple[Descriptor, ...]
    contents: dict[str, bytes]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """One for all runs: what is slow about it is to read the authorities of the system."""
    client = Client(threading.Event(), QUICK, {})
    yield client
    client.close()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    store = Store.open(str(tmp_path_factory.mktemp("sample") / "store"))
    chance = random.Random("the sample")
    layers = [{f"file{number}": chance.randbytes(size)} for number, size in enumerate((30, 4000, 90_000))]
    root = put_image(store, *layers).manifest
    parts = closure(store.blobs, root)
    contents = {part.digest: Path(store.blobs.path(part.digest)).read_bytes() for part in parts}
    return Sample(store, root, parts, contents)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ladder in the measure of the sample."""
    monkeypatch.setattr(destination, "LADDER", (40_000, 20_000, 6_000))
    monkeypatch.setattr(upload, "ASKED", 1000)


def registry_of(client: Client) -> Registry:
    options = RegistryOptions(authfile="/dev/null", conf="/dev/null")
    return Registry(options, {}, threading.Event(), client=client)


def rules_of(chance: random.Random) -> Rules:
    faults = tuple(FAULTS) if chance.random() < 0.04 else BRISK
    return Rules(rate=chance.choice((0.05, 0.1, 0.2)), only=faults, token=chance.random() < 0.5, silence=0.6)


def push_once(seed: int, sample: Sample, client: Client) -> BuildError | None:
    chance = random.Random(f"push {seed}")
    origin = Origin(largest=chance.choice((0, 0, 30_000)), least_chunk=chance.choice((0, 0, 5_000)))
    error = None
    with Faulty(origin, seed, rules_of(chance)) as proxy:
        name = parse_reference(f"{proxy.host}/team/app:v1")
        try:
            push(registry_of(client), name, sample.store, sample.root, parallel=chance.choice((1, 4)))
        except BuildError as fault:
            error = fault
        client.close()
        check_pushed(seed, sample, origin, proxy, error)
    return error


def check_pushed(seed: int, sample: Sample, origin: Origin, proxy: Faulty, error: BuildError | None) -> None:
    for (_, digest), content in origin.blobs.items():
        assert content == sample.contents[digest], seed
    tagged = origin.tags.get(("team/app", "v1"))
    assert tagged in (None, sample.root.digest), seed
    if tagged or error is None:
        has = {digest for _, digest in (*origin.blobs, *origin.manifests)}
        assert has == set(sample.contents), (seed, tagged, error, proxy.log)
    assert error is not None or tagged, seed
    for digest, count in proxy.of_blobs(sample.contents).items():
        assert count <= 2 * len(sample.contents[digest]), (seed, digest)
    check_error(seed, proxy, error)


def check_error(seed: int, proxy: Faulty, error: BuildError | None) -> None:
    assert not proxy.leaked, seed
    if error is not None:
        assert isinstance(error, AuthError | NetworkError | RegistryError) or error.exit_status == 1, seed
        assert proxy.host in error.message or proxy.away in error.message, (seed, error.message)
        assert error.message.isprintable() and "token" not in error.message.replace("/token", ""), seed


def pull_once(seed: int, sample: Sample, client: Client, place: Path) -> BuildError | None:
    chance = random.Random(f"pull {seed}")
    origin = Origin()
    for part in sample.parts[1:]:
        origin.blobs["team/app", part.digest] = sample.contents[part.digest]
    origin.manifests["team/app", sample.root.digest] = (sample.root.media_type, sample.contents[sample.root.digest])
    origin.tags["team/app", "v1"] = sample.root.digest
    error = None
    with Faulty(origin, seed, rules_of(chance)) as proxy, Store.open(str(place / str(seed))) as store:
        name = parse_reference(f"{proxy.host}/team/app:v1")
        try:
            pull(registry_of(client), name, store)
        except BuildError as fault:
            error = fault
        client.close()
        for digest, content in sample.contents.items():
            found = Path(store.blobs.path(digest))
            assert not found.exists() or found.read_bytes() == content, (seed, digest)
            assert found.exists() or error, (seed, digest)
        assert bool(store.tags.get(str(name))) == (error is None), seed
        check_error(seed, proxy, None if error and error.exit_status == 1 else error)
    return error


@pytest.mark.parametrize("first", range(0, 100, RUNS))
def test_pushes_end_whole_or_with_a_clear_error(first: int, sample: Sample, client: Client) -> None:
    """G-T1: nine of ten are whole, though each request has up to a fifth of a chance to fail."""
    errors = [push_once(seed, sample, client) for seed in range(first, first + RUNS)]
    assert len([error for error in errors if error]) <= 2, errors


@pytest.mark.parametrize("first", range(0, 100, RUNS))
def test_pulls_end_whole_or_with_a_clear_error(first: int, sample: Sample, client: Client, tmp_path: Path) -> None:
    errors = [pull_once(seed, sample, client, tmp_path) for seed in range(first, first + RUNS)]
    assert len([error for error in errors if error]) <= 2, errors


@pytest.mark.parametrize("seed", range(8))
def test_faults_before_a_real_registry(
    seed: int, sample: Sample, client: Client, plain_registry: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It forgets an upload that broke off: what can be sent twice in all is."""
    monkeypatch.setattr(upload, "ASKED", 1 << 16)
    name = f"faults/seed{seed}"
    with Faulty(Upstream(plain_registry.host), seed, Rules(rate=0.1, only=BRISK)) as proxy:
        error = None
        try:
            push(registry_of(client), parse_reference(f"{proxy.host}/{name}:v1"), sample.store, sample.root)
        except BuildError as fault:
            error = fault
        check_error(seed, proxy, error)
        for digest, count in proxy.of_blobs(sample.contents).items():
            assert count <= 2 * len(sample.contents[digest])
    tagged = plain_registry.request("HEAD", f"/v2/{name}/manifests/v1")
    assert error or tagged.headers["docker-content-digest"] == sample.root.digest


@pytest.mark.torture
def test_five_thousand_transfers(sample: Sample, client: Client, tmp_path: Path) -> None:
    """Half of them pushes; nine of ten are whole."""
    before = len(os.listdir("/proc/self/fd"))
    pushed = [push_once(seed, sample, client) for seed in range(1000, 3500)]
    assert len(os.listdir("/proc/self/fd")) <= before + 40  # the servers' last threads are still at it
    pulled = [pull_once(seed, sample, client, tmp_path) for seed in range(1000, 3500)]
    for errors in (pushed, pulled):
        assert len([error for error in errors if error]) < len(errors) // 10


def pushed_through(origin: Origin, sample: Sample, client: Client, **rules: object) -> tuple[Faulty, BuildError | None]:
    with Faulty(origin, 8, Rules(rate=0)._replace(**rules)) as proxy:  # type: ignore[arg-type]
        try:
            push(
                registry_of(client), parse_reference(f"{proxy.host}/team/app:v1"), sample.store, sample.root, parallel=1
            )
        except BuildError as error:
            return proxy, error
    return proxy, None


def test_a_large_blob_goes_up_in_pieces_where_it_has_to(sample: Sample, client: Client) -> None:
    """G-T3: all at once first, then the ladder; what was refused was not sent, and what is known is kept in mind."""
    origin = Origin(largest=30_000, least_chunk=10_000)
    proxy, error = pushed_through(origin, sample, client)
    lengths = [entry for entry in proxy.log if entry[0] == "PATCH" and entry[2] == "202"]

    assert error is None and origin.tags["team/app", "v1"] == sample.root.digest
    assert len(lengths) == 5  # 90,191 bytes in pieces of 20,000
    assert all(count == len(sample.contents[digest]) for digest, count in proxy.of_blobs(sample.contents).items())


def test_a_registry_that_takes_no_large_blob_at_all_is_told(sample: Sample, client: Client) -> None:
    _, error = pushed_through(Origin(largest=5_000), sample, client)
    assert isinstance(error, RegistryError)
    assert "413" in error.message and "limit on the size of a request" in (error.hint or "")


@pytest.mark.parametrize("fault", ["two locations", "absolute", "away", "lost reply", "wrong range", "expired"])
def test_each_fault_alone_is_survived(fault: str, sample: Sample, client: Client) -> None:
    """G-T1: about every third path meets it."""
    origin = Origin()
    proxy, error = pushed_through(origin, sample, client, rate=0.3, most=1, only=(fault,), token=True)

    assert error is None, fault
    assert origin.tags["team/app", "v1"] == sample.root.digest
    assert any(entry[2] == fault for entry in proxy.log) and not proxy.leaked


@pytest.mark.parametrize("fault", ["drop", "429", "503", "502", "504", "408", "broken", "swallowed"])
def test_each_failure_alone_is_survived(fault: str, sample: Sample, client: Client) -> None:
    origin = Origin()
    proxy, error = pushed_through(origin, sample, client, rate=0.3, most=1, only=(fault,))

    assert error is None and any(entry[2] == fault for entry in proxy.log), fault
    for digest, count in proxy.of_blobs(sample.contents).items():
        assert count <= 2 * len(sample.contents[digest])


class Portal(Origin):
    """What stands before a network until one has logged in: every request gets the same page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self._page = Reply(200, (("Content-Type", "text/html"),), page)

    def answer(self, ask: Ask) -> Reply:
        return self._page


@pytest.mark.parametrize(
    ("page", "step"), [(b"<html>log in", "POST upload of sha256:"), (b"", "PUT manifest portal/app:v1")]
)
def test_a_page_is_no_registry(sample: Sample, client: Client, page: bytes, step: str) -> None:
    with Faulty(Portal(page), 0, Rules(rate=0)) as proxy, pytest.raises(RegistryError) as caught:
        push(registry_of(client), parse_reference(f"{proxy.host}/portal/app:v1"), sample.store, sample.root)
    assert caught.value.message.startswith(f"{proxy.host}: {step}")
    assert "200 OK" in caught.value.message


def test_a_registry_that_never_recovers_ends_a_push(sample: Sample, client: Client) -> None:
    proxy, error = pushed_through(Origin(), sample, client, rate=1.0, most=10_000, only=("503",))
    assert isinstance(error, NetworkError) and error.exit_status == 4
    assert "503" in error.message and proxy.host in error.message
