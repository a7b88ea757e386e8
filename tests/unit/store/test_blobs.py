"""Blobs are complete, verified and on the disk, or not there."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from pathlib import Path

import pytest

from builder.errors import DocumentError, StoreError
from builder.oci.digest import sha256_of
from builder.store.blobs import Blobs
from builder.store.store import Store

CONTENT = bytes(range(256)) * 9000
DIGEST = sha256_of(CONTENT)


def staged(store: Store) -> list[str]:
    """The files under tmp/."""
    return [name for _, _, names in os.walk(f"{store.root}/tmp") for name in names]


def again(store: Store) -> Blobs:
    """The blobs as another process would see them."""
    return Store.open(store.root).blobs


def damage(store: Store, digest: str, content: bytes) -> None:
    Path(store.blobs.path(digest)).write_bytes(content)


def test_what_is_put_is_read_back(store: Store) -> None:
    descriptor = store.blobs.put(io.BytesIO(CONTENT), "a/b", DIGEST, len(CONTENT))

    assert descriptor == ("a/b", DIGEST, len(CONTENT), (), None, (), "", ())
    assert store.blobs.has(DIGEST)
    assert store.blobs.read(descriptor) == CONTENT
    assert again(store).read(descriptor) == CONTENT
    assert staged(store) == []


def test_documents_are_written_once(store: Store) -> None:
    first = store.blobs.put_bytes("a/b", b"{}")
    written = os.stat(store.blobs.path(first.digest))
    again(store).put_bytes("a/b", b"{}")

    assert os.path.samestat(os.stat(store.blobs.path(first.digest)), written)


def test_putting_a_document_repairs_a_damaged_one(store: Store) -> None:
    descriptor = store.blobs.put_bytes("a/b", b"{}")
    damage(store, descriptor.digest, b"[]")
    again(store).put_bytes("a/b", b"{}")

    assert again(store).read(descriptor) == b"{}"


@pytest.mark.parametrize(
    ("digest", "size"),
    [(sha256_of(b""), None), (DIGEST, len(CONTENT) + 1), (DIGEST, 5), (None, 5), ("sha256:x", None)],
)
def test_unexpected_bytes_are_no_blob(store: Store, digest: str | None, size: int | None) -> None:
    with pytest.raises(DocumentError):
        store.blobs.put(io.BytesIO(CONTENT), "a/b", digest, size)

    assert os.listdir(f"{store.root}/blobs/sha256") == []
    assert staged(store) == []


def test_without_commit_nothing_is_stored(store: Store) -> None:
    with store.blobs.ingest() as ingest:
        ingest.write(b"x")
    with pytest.raises(ZeroDivisionError), store.blobs.ingest() as ingest:
        ingest.write(memoryview(b"x"))
        raise ZeroDivisionError

    assert os.listdir(f"{store.root}/blobs/sha256") == []
    assert staged(store) == []


def test_a_writer_that_hashes_itself_may_use_the_descriptor(store: Store) -> None:
    with store.blobs.ingest(hashed=False) as ingest:
        os.write(ingest.fileno(), b"he")
        ingest.write(b"llo")
        descriptor = ingest.commit("a/b", sha256_of(b"hello"), 5)

    assert again(store).read(descriptor) == b"hello"
    with store.blobs.ingest() as ingest, pytest.raises(io.UnsupportedOperation):
        ingest.fileno()


@pytest.mark.parametrize("change", [b"", CONTENT[:-1], CONTENT + b"x", b"x" + CONTENT[1:], CONTENT[:-1] + b"x"])
def test_a_damaged_blob_is_detected_on_the_first_read_and_removed(store: Store, change: bytes) -> None:
    store.blobs.put(io.BytesIO(CONTENT))
    damage(store, DIGEST, change)
    other = again(store)

    with pytest.raises(StoreError, match="damaged") as caught, other.open(DIGEST) as reader:
        while reader.read(4096):
            pass
    assert caught.value.hint
    assert not other.has(DIGEST)


def test_a_reader_that_stops_early_verifies_the_rest_on_leaving(store: Store) -> None:
    store.blobs.put(io.BytesIO(CONTENT))
    with again(store).open(DIGEST) as reader:
        assert reader.read(3) == CONTENT[:3]
    damage(store, DIGEST, CONTENT + b"trailing")

    with pytest.raises(StoreError, match="damaged"), again(store).open(DIGEST) as reader:
        assert reader.read(3) == CONTENT[:3]


def test_an_error_in_the_block_is_not_hidden_by_the_verification(store: Store) -> None:
    store.blobs.put(io.BytesIO(CONTENT))
    damage(store, DIGEST, b"x")
    with pytest.raises(ZeroDivisionError), again(store).open(DIGEST):
        raise ZeroDivisionError


def test_a_damaged_blob_that_was_replaced_meanwhile_is_left_alone(store: Store) -> None:
    store.blobs.put(io.BytesIO(CONTENT))
    damage(store, DIGEST, b"x")
    reader = again(store).open(DIGEST)
    again(store).put(io.BytesIO(CONTENT))

    with pytest.raises(StoreError), reader:
        reader.readall()
    assert again(store).has(DIGEST)


def test_bytes_are_verified_once_in_a_process(store: Store) -> None:
    store.blobs.put(io.BytesIO(CONTENT))
    blobs = again(store)
    assert not blobs.is_verified(DIGEST)
    with blobs.open(DIGEST):
        pass

    assert blobs.is_verified(DIGEST)
    with blobs.open(DIGEST) as reader:
        assert isinstance(reader, io.FileIO)


def test_a_missing_blob_has_a_hint(store: Store) -> None:
    with pytest.raises(StoreError, match="not in the store") as caught:
        store.blobs.open(DIGEST)
    assert caught.value.hint


@pytest.mark.parametrize("digest", ["sha256:../../../etc/passwd", "", "x", "sha256:" + "A" * 64])
def test_only_digests_name_blobs(store: Store, digest: str) -> None:
    for use in (store.blobs.path, store.blobs.has, store.blobs.open):
        with pytest.raises(DocumentError):
            use(digest)


def test_a_full_disk_leaves_nothing_and_names_the_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, content: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("builder.store.blobs.write_all", full)
    with pytest.raises(StoreError, match=f"write {1 << 20} of {len(CONTENT)} bytes to the store.*No space") as caught:
        store.blobs.put(io.BytesIO(CONTENT), size=len(CONTENT))

    assert "free some space" in str(caught.value.hint)
    assert staged(store) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_device_is_reported(store: Store) -> None:
    with store.blobs.ingest() as ingest:
        os.dup2(full := os.open("/dev/full", os.O_WRONLY), ingest._fd)
        os.close(full)
        with pytest.raises(StoreError, match="No space left"):
            ingest.write(b"x")
    assert staged(store) == []


def test_reading_needs_constant_memory(store: Store) -> None:
    """A big blob passes in chunks: what one `read` gives is what was asked for."""
    store.blobs.put(io.BytesIO(CONTENT))
    digest = hashlib.sha256()
    with again(store).open(DIGEST) as reader:
        while chunk := reader.read(1000):
            assert len(chunk) <= 1000
            digest.update(chunk)
    assert "sha256:" + digest.hexdigest() == DIGEST
