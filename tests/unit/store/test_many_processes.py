"""Many processes share a store; some of them are killed. No daemon watches, and nothing goes wrong."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from builder.oci.descriptor import Descriptor
from builder.oci.digest import sha256_of
from builder.oci.mediatypes import MANIFEST
from builder.store.leases import sweep
from builder.store.store import Store

FORK = multiprocessing.get_context("fork")


def content(number: int) -> bytes:
    return b"%d" % number * 5000


def work(root: str, worker: int, rounds: int) -> None:
    """What a build does to a store, over and over; asserts that it gets back what is there."""
    for number in range(rounds):
        with Store.open(root) as store:
            descriptor = store.blobs.put_bytes(MANIFEST, content(number))
            store.tags.set(f"worker/{worker}:{number % 3}", descriptor)
            store.tags.set("shared:1", descriptor)
            key = sha256_of(content(number))[7:]
            store.records.put(key, {"number": number})
            assert store.records.get(key) == {"number": number}
            with store.trees.scratch() as path:
                (Path(path) / "f").write_bytes(content(number))
                place = store.trees.publish(path, "layers", "real", key)
            assert (Path(place) / "f").read_bytes() == content(number)
            assert Store.open(root).blobs.read(descriptor) == content(number)


def in_processes(target: object, arguments: list[tuple[object, ...]]) -> list[int | None]:
    processes = [FORK.Process(target=target, args=each) for each in arguments]  # type: ignore[arg-type]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def test_eight_builds_make_and_use_one_store_at_once(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    codes = in_processes(work, [(root, worker, 12) for worker in range(8)])
    store = Store.open(root)

    assert codes == [0] * 8
    assert len(store.tags.all()) == 8 * 3 + 1
    assert os.listdir(f"{root}/tmp") == os.listdir(f"{root}/leases") == []
    for _, descriptor in store.tags.all():
        store.blobs.read(descriptor)


def test_builds_that_are_killed_leave_a_store_that_works(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    choice = random.Random(7)
    for _ in range(12):
        victims = [FORK.Process(target=work, args=(root, worker, 10_000)) for worker in range(3)]
        for victim in victims:
            victim.start()
        time.sleep(choice.uniform(0.01, 0.12))
        for victim in victims:
            assert victim.pid
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
        work(root, 9, 2)
    store = Store.open(root)

    assert os.listdir(f"{root}/tmp") == []
    for _, descriptor in store.tags.all():
        store.blobs.read(descriptor)
    for name in os.listdir(f"{root}/blobs/sha256"):
        with store.blobs.open(f"sha256:{name}"):
            pass


def stage_and_wait(root: str, ready: object) -> None:
    store = Store.open(root)
    staged = store.lease.staging("x")
    os.mkdir(staged)
    ready.put(staged)  # type: ignore[attr-defined]
    time.sleep(60)


def test_staging_files_live_exactly_as_long_as_their_owner(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    ready = FORK.Queue()
    owner = FORK.Process(target=stage_and_wait, args=(root, ready))
    owner.start()
    staged = ready.get(timeout=30)
    Store.open(root)
    sweep(root)
    assert os.path.isdir(staged)

    owner.kill()
    owner.join()
    Store.open(root)
    assert os.listdir(f"{root}/tmp") == os.listdir(f"{root}/leases") == []


def test_a_process_with_the_pid_of_a_live_one_elsewhere_gets_a_lease_of_its_own(tmp_path: Path) -> None:
    """Two containers with a store in common have processes of the same pid."""
    root = str(tmp_path / "store")
    one, two = Store.open(root), Store.open(root)
    first, second = one.lease.staging("x"), two.lease.staging("x")

    assert one.lease.name != two.lease.name
    assert os.path.dirname(first) != os.path.dirname(second)


def test_the_lease_of_a_dead_process_with_the_same_pid_is_taken_over_empty(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    store = Store.open(root)
    left = Path(root) / "tmp" / str(os.getpid())
    (left / "blob-1").mkdir(parents=True)
    staged = store.lease.staging("blob")

    assert Path(staged).parent == left
    assert not os.path.exists(staged)


def child(store: Store, answer: object) -> None:
    answer.put(store.lease.staging("x"))  # type: ignore[attr-defined]


def test_a_forked_child_has_a_lease_of_its_own(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"))
    mine = store.lease.staging("x")
    answer = FORK.Queue()
    process = FORK.Process(target=child, args=(store, answer))
    process.start()
    process.join()

    assert os.path.dirname(answer.get(timeout=30)) != os.path.dirname(mine)


def test_closing_gives_up_the_lease_and_using_the_store_again_takes_another(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    store = Store.open(root)
    store.lease.staging("x")
    store.close()
    store.close()
    assert os.listdir(f"{root}/leases") == []
    store.tags.set("a:1", Descriptor(MANIFEST, sha256_of(b""), 0))
    assert len(os.listdir(f"{root}/leases")) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may remove anything")
def test_what_cannot_be_removed_stays_for_later_and_harms_nobody(tmp_path: Path) -> None:
    root = str(tmp_path / "store")
    Store.open(root)
    stuck = Path(root) / "tmp" / "1" / "x"
    stuck.mkdir(parents=True)
    os.chmod(Path(root) / "tmp", 0o500)
    try:
        Store.open(root)
    finally:
        os.chmod(Path(root) / "tmp", 0o700)
