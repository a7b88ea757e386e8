"""Bundles that were cut, altered or made to hurt: each is refused by the name of what is wrong, and nothing is used."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import ArchiveError, BuildError, NotFound
from builder.exporters import tarstream
from builder.oci.bundle_layout import index_of
from builder.oci.digest import sha256_of
from builder.sources.bundle_file import LAYOUT, open_bundle
from builder.sources.bundles import Bundles
from builder.sources.layout_files import header_of
from builder.store.store import Store
from tests.support.bundles import FILE, URL, Made, blob_name, make, member

END = bytes(1024)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    place = tmp_path_factory.mktemp("bundles")
    with Store.open(str(place / "store")) as store:
        yield make(place / "good.tar", store)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return tmp_path / "bad.tar"


def refused(path: Path) -> str:
    with pytest.raises(ArchiveError) as caught:
        open_bundle(str(path)).close()
    assert str(path) in caught.value.message
    return caught.value.message.partition(f"{path}: ")[2]


def test_a_good_one_is_opened(made: Made) -> None:
    file = open_bundle(str(made.path))
    assert file.bundle == made.bundle
    file.close()


@pytest.mark.parametrize("eighth", range(8))
def test_a_truncated_bundle_is_refused_by_name(made: Made, bad: Path, eighth: int) -> None:
    whole = made.path.read_bytes()
    bad.write_bytes(whole[: len(whole) * eighth // 8])
    assert refused(bad).startswith("truncated: ")


def test_a_bundle_truncated_anywhere_is_refused(made: Made, bad: Path) -> None:
    """Also at the borders of members, where a tar reader would take it for complete."""
    whole = made.path.read_bytes()
    for length in (*range(512, len(whole), 512), len(whole) - 1, len(whole) - 511, len(whole) - 513):
        bad.write_bytes(whole[:length])
        assert refused(bad).startswith("truncated: "), length


def test_every_flipped_byte_is_noticed(made: Made, bad: Path) -> None:
    whole = made.path.read_bytes()
    for at in range(0, len(whole), 61):
        bad.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        refused(bad)


def test_a_flipped_byte_of_a_blob_is_told_with_both_digests(made: Made, bad: Path) -> None:
    bad.write_bytes(made.path.read_bytes().replace(FILE, FILE.upper()))
    digest, other = sha256_of(FILE), sha256_of(FILE.upper())
    assert refused(bad) == f"blob {digest} is altered: its bytes are {other}"


def parts(made: Made) -> dict[str, bytes]:
    blobs = {blob_name(digest): content for digest, content in sorted(made.contents.items())}
    return {"oci-layout": LAYOUT, "index.json": index_of(made.bundle), "blobs/": b"", "blobs/sha256/": b"", **blobs}


def packed(files: dict[str, bytes]) -> bytes:
    return b"".join(member(name, content) for name, content in files.items()) + END


def test_these_tests_know_the_form(made: Made) -> None:
    assert packed(parts(made)) == made.path.read_bytes()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../x", "'../x' leads out of the bundle"),
        ("blobs/sha256/../../../x", "leads out of the bundle"),
        ("/etc/passwd", "'/etc/passwd' leads out of the bundle"),
        ("x", "'x' is no part of a bundle"),
        ("./oci-layout", "'./oci-layout' is no part"),
        ("blobs//sha256/" + "a" * 64, "is no part"),
        ("blobs/sha256/" + "a" * 63, "is no part"),
        ("blobs/sha256/" + "A" * 64, "is no part"),
        ("blobs/sha512/" + "a" * 64, "is no part"),
        ("oci-layout", "oci-layout is in it twice"),
        ("blobs/", "blobs/ is in it twice"),
        ("blobs/sha256/" + "a" * 64, f"blobs/sha256/{'a' * 64} is not in the bundle document"),
        ("", "'' is no part"),
    ],
)
def test_names_that_are_not_ours(made: Made, bad: Path, name: str, said: str) -> None:
    bad.write_bytes(packed(parts(made))[: -len(END)] + member(name, b"" if name.endswith("/") else b"1") + END)
    assert said in refused(bad)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("1", "a hard link"), ("2", "a symbolic link"), ("3", "a device"), ("4", "a device"), ("6", "a pipe")]
    + [(kind, "altered, or another program") for kind in "5xgLKS\0"],
)
def test_members_that_are_no_files(made: Made, bad: Path, kind: str, said: str) -> None:
    header = bytearray(header_of(blob_name("sha256:" + "a" * 64), 0))
    header[156] = ord(kind)
    bad.write_bytes(packed(parts(made))[: -len(END)] + _summed(header) + END)
    assert said in refused(bad)


def _summed(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    ("at", "value"), [(257, b"ustar\00000"), (265, b"root"), (345, b"../up"), (157, b"/etc"), (108, b"1")]
)
def test_headers_say_nothing_else(made: Made, bad: Path, at: int, value: bytes) -> None:
    header = bytearray(header_of("oci-layout", len(LAYOUT)))
    header[at : at + len(value)] = value
    bad.write_bytes(_summed(header) + made.path.read_bytes()[512:])
    assert "the tar header of 'oci-layout' is altered" in refused(bad)


@pytest.mark.parametrize("size", [b"9" * 12, b"-0000000001\0", b"\xff" * 12, b"\x80" + b"\xff" * 11, bytes(12)])
def test_sizes_that_are_none(made: Made, bad: Path, size: bytes) -> None:
    header = bytearray(header_of("oci-layout", len(LAYOUT)))
    header[124:136] = size
    bad.write_bytes(_summed(header) + made.path.read_bytes()[512:])
    refused(bad)


@pytest.mark.parametrize("tail", [b"x", bytes(512), b"x" * 512, member("oci-layout", b"{}")])
def test_nothing_comes_after_the_end(made: Made, bad: Path, tail: bytes) -> None:
    bad.write_bytes(made.path.read_bytes() + tail)
    assert "it goes on after the end" in refused(bad)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("oci-layout", None, "oci-layout is missing"),
        ("index.json", None, "index.json is missing"),
        ("oci-layout", b'{"imageLayoutVersion":"2.0.0"}', "oci-layout is altered"),
        ("index.json", b"{", "index.json is altered: index is not valid JSON"),
        ("index.json", b'{"schemaVersion":2,"manifests":[]}', "index.json names no bundle document"),
        (blob_name(sha256_of(FILE)), None, f"blob {sha256_of(FILE)} is missing ({len(FILE)} bytes)"),
        (blob_name(sha256_of(FILE)), b"", f"blob {sha256_of(FILE)} has 0 bytes, the bundle document says {len(FILE)}"),
    ],
)
def test_parts_that_are_missing_or_others(made: Made, bad: Path, name: str, content: bytes | None, said: str) -> None:
    files = parts(made)
    if content is None:
        del files[name]
    else:
        files[name] = content
    bad.write_bytes(packed(files))
    assert said in refused(bad)


def test_the_index_of_another_bundle_is_refused(made: Made, bad: Path) -> None:
    index = index_of(made.bundle._replace(files=()))
    bad.write_bytes(packed({**parts(made), "index.json": index}))
    assert re.match(r"blob sha256:[0-9a-f]{64} is missing", refused(bad))
    renamed = index_of(made.bundle).replace(b"library/app", b"library/bad")
    bad.write_bytes(packed({**parts(made), "index.json": renamed}))
    assert refused(bad) == "index.json is altered: it is not that of the bundle document"


def test_a_newer_bundle_says_so(made: Made, bad: Path) -> None:
    index = index_of(made.bundle).replace(b"bundle.v1+json", b"bundle.v2+json")
    bad.write_bytes(packed({**parts(made), "index.json": index}))
    assert "known is 1" in refused(bad)


def test_a_document_that_leaves_a_layer_out_is_refused(made: Made, bad: Path) -> None:
    """The bundle is whole by its own account, and its image is not."""
    from tests.support.bundles import write

    layer = next(digest for digest, content in made.contents.items() if content.startswith(b"\x1f\x8b"))
    contents = {digest: content for digest, content in made.contents.items() if digest != layer}
    known = {digest for digest, _ in made.bundle.blobs}
    write(bad, made.bundle, {digest: content for digest, content in contents.items() if digest in known})
    assert f"blob {layer} of " in refused(bad)


def test_what_another_program_packed_is_refused_with_a_way_out(made: Made, bad: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in parts(made).items():
            if not name.endswith("/"):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mtime = len(content), 1
                archive.addfile(entry, io.BytesIO(content))
    bad.write_bytes(out.getvalue())
    with pytest.raises(ArchiveError, match="another program") as caught:
        open_bundle(str(bad))
    assert "name the directory" in str(caught.value.hint)


def test_compressed_bundles_and_other_files_are_told_apart(made: Made, bad: Path) -> None:
    bad.write_bytes(gzip.compress(made.path.read_bytes()))
    with pytest.raises(ArchiveError, match="not a bundle") as caught:
        open_bundle(str(bad))
    assert "compressed" in str(caught.value.hint)
    bad.write_bytes(b"FROM scratch\n" * 100)
    assert "not a bundle" in refused(bad)
    with pytest.raises(NotFound, match="no such file"):
        open_bundle(str(bad.parent / "none"))


def test_a_pipe_is_refused_and_nobody_waits_for_it(bad: Path) -> None:
    os.mkfifo(bad)
    assert "not a file" in refused(bad)


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Path:
    place = tmp_path / "folder"
    for name, content in parts(made).items():
        path = place / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return place


def test_a_directory_is_a_bundle_too(made: Made, folder: Path) -> None:
    file = open_bundle(str(folder))
    assert file.bundle == made.bundle
    file.close()


def test_links_in_a_directory_are_refused(folder: Path, tmp_path: Path) -> None:
    blob = folder / blob_name(sha256_of(FILE))
    (tmp_path / "outside").write_bytes(FILE)
    blob.unlink()
    blob.symlink_to(tmp_path / "outside")
    assert "it is a link" in refused(folder)
    blob.unlink()
    blob.mkdir()
    assert "no plain file" in refused(folder)
    blob.rmdir()
    os.mkfifo(blob)
    assert "no plain file" in refused(folder)
    shutil.move(folder / "blobs/sha256", tmp_path / "elsewhere")
    (folder / "blobs/sha256").symlink_to(tmp_path / "elsewhere")
    assert "not the directory of a layout" in refused(folder)


@pytest.mark.parametrize("name", ["other", "blobs/sha512", "blobs/sha256/x"])
def test_a_directory_holds_nothing_else(folder: Path, name: str) -> None:
    (folder / name).write_text("x")
    assert "is no part of a bundle" in refused(folder)


def test_what_changes_after_it_was_opened_is_not_kept(made: Made, bad: Path, tmp_path: Path) -> None:
    shutil.copyfile(made.path, bad)
    with Store.open(str(tmp_path / "store")) as store:
        bundles = Bundles([str(bad)], store)
        bad.write_bytes(made.path.read_bytes().replace(FILE, FILE.upper()))
        with pytest.raises(BuildError, match="changed while it was used"):
            bundles.file(URL)
        assert not list((tmp_path / "store").glob("sources/both/*"))
        bundles.close()


def test_nothing_of_a_bad_bundle_reaches_the_store(made: Made, bad: Path, tmp_path: Path) -> None:
    whole = made.path.read_bytes()
    bad.write_bytes(whole[:-2000])
    with Store.open(str(tmp_path / "store")) as store, pytest.raises(ArchiveError):
        Bundles([str(made.path), str(bad)], store)
    assert not list((tmp_path / "store/blobs/sha256").iterdir())
    assert len(os.listdir("/proc/self/fd")) < 100


@pytest.mark.parametrize("size", [0, 1, 511, 8**11 - 1, 8**11, 1 << 50])
@pytest.mark.parametrize("name", ["oci-layout", "blobs/", "blobs/sha256/" + hashlib.sha256(b"").hexdigest()])
def test_the_form_is_that_of_the_writer(name: str, size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    if name.endswith("/"):
        entry.type, entry.mode = b"5", 0o755
    assert header_of(name, size) == entry.tobuf(tarstream._GNU)
