"""Lock files as text: what is written is read back, and what is not understood has a place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import LockError
from builder.oci.platform import parse_platform
from builder.sources.lock import Entry, Lock, in_order, lock_text, named, parse_lock
from builder.sources.lock_file import beside, path_for
from builder.sources.pins import LockPins, at_ref, spelled

HEX = "0123456789abcdef"
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
COMMIT = "c" * 40
WHOLE = f"""\
# whose lock this is
rbuild-lock 1
platform linux/amd64
# for the old machines
platform linux/arm/v7 # until May

# why this one
# and since when
image docker.io/library/golang:1.21 linux/amd64 {A} # pinned by security
image docker.io/library/golang:1.21 linux/arm/v7 {B}
git https://example.org/r.git#v1 {COMMIT}
url https://example.org/x.tgz#part {A}
# the end
"""

digests = st.text(HEX, min_size=64, max_size=64).map("sha256:".__add__)
commits = st.text(HEX, min_size=40, max_size=40)
words = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=20).map(str.strip)
comments = words.map("#".__add__).map(str.strip)
names = st.text("abcdefgh", min_size=1, max_size=4)
platforms = st.sampled_from(("linux/amd64", "linux/arm64", "linux/arm/v7", "windows/amd64"))
# An address of anything that a Dockerfile may hold.
rests = st.text(st.characters(codec="utf-8"), max_size=12).map(spelled)
images = st.tuples(st.just("image"), names.map("docker.io/library/{}:1".format), platforms, digests)
repositories = st.tuples(st.just("git"), rests.map("https://h/r.git#".__add__), st.just(""), commits)
downloads = st.tuples(st.just("url"), rests.map("https://h/".__add__), st.just(""), digests)
kinds = st.tuples(st.just("platform"), platforms, st.just(""), st.just(""))
lines = st.one_of(kinds, images, repositories, downloads)
entries = st.builds(
    lambda line, above, beside: Entry(*line, tuple(above), beside),
    lines,
    st.lists(comments, max_size=2),
    st.just("") | comments,
)
locks = st.builds(
    lambda found, head, tail: Lock(in_order({entry.key: entry for entry in found}.values()), tuple(head), tuple(tail)),
    st.lists(entries, max_size=8),
    st.lists(comments, max_size=2),
    st.lists(comments, max_size=2),
)


def read(text: str) -> Lock:
    lock = parse_lock(text, "rbuild.lock")
    return lock._replace(entries=tuple(entry._replace(line=0) for entry in lock.entries))


@given(locks)
def test_what_is_written_is_read_back(lock: Lock) -> None:
    assert read(lock_text(lock)) == lock


@given(locks, st.randoms())
def test_the_order_of_lines_is_nobodys_business(lock: Lock, random: object) -> None:
    """A merge may leave entries in any order: they are written as ever."""
    bodies = ["\n".join([*entry.above, str(entry)]) for entry in lock.entries]
    random.shuffle(bodies)  # type: ignore[attr-defined]
    shuffled = "\n".join([*lock.head, "rbuild-lock 1", *bodies, *lock.tail, ""])
    assert lock_text(read(shuffled)) == lock_text(lock)


@given(st.text(st.characters(codec="utf-8"), max_size=200).map("rbuild-lock 1\n".__add__))
def test_any_text_is_a_lock_or_an_error_with_a_place(text: str) -> None:
    try:
        lock = parse_lock(text, "rbuild.lock")
    except LockError as error:
        assert str(error).startswith("rbuild.lock:")
    else:
        assert lock_text(read(lock_text(lock))) == lock_text(lock)


def test_a_lock_with_everything() -> None:
    assert lock_text(read(WHOLE)) == WHOLE
    assert read(WHOLE.replace("\n", "\r\n")) == read("\ufeff" + WHOLE) == read(WHOLE)
    assert read(WHOLE).platforms == ("linux/amd64", "linux/arm/v7")


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        (f"imge docker.io/library/a:1 linux/amd64 {A}", "unknown kind of source: 'imge'", "did you mean image?"),
        (f"image a:1 {A}", "a line of image has 2 words after it", "image REFERENCE OS/ARCH sha256:…"),
        ("image a:1 linux/amd64 sha256:12", "not a digest: 'sha256:12'", None),
        (f"image A linux/amd64 {A}", "repository names are lower case", None),
        (f"image a:1 linux/amd64/v1/x {A}", "not a platform", None),
        (f"url ftp://h/x {A}", "not an http address: 'ftp://h/x'", None),
        ("url https://h/x sha256:AA", "not sha256: and 64 hexadecimal digits", None),
        (f"url https://u:hush@h/x {A}", "the address of https://h/x carries credentials", None),
        ("git https://h/r.git main", "not a commit: 'main'", None),
        ("git https://h/r.git", "a line of git has 1 words after it", "git ADDRESS[#REF] COMMIT"),
        (f"url https://example.org/x.tgz#part {A}", "is locked again: line 12 has it already", "remove one"),
        (
            f"url https://example.org/x.tgz#part {B}",
            "is locked to something else: line 12 has it already",
            "remove one",
        ),
        ("platform linux/x86_64", "platform linux/amd64 is locked again: line 3", "remove one"),
        ("<<<<<<< HEAD", "a merge left its mark here: '<<<<<<< HEAD'", "keep the lines of both sides"),
        ("=======", "a merge left its mark here", "keep the lines of both sides"),
        (">>>>>>> other", "a merge left its mark here", "keep the lines of both sides"),
        ("rbuild-lock 1", "unknown kind of source: 'rbuild-lock'", None),
    ],
)
def test_a_line_that_is_not_understood(line: str, message: str, hint: str | None) -> None:
    with pytest.raises(LockError) as caught:
        parse_lock(f"{WHOLE}{line}\n", "d/rbuild.lock")
    assert message in caught.value.message
    assert str(caught.value).startswith("d/rbuild.lock:14: ")
    assert hint is None or hint in (caught.value.hint or "")
    assert "hush" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a lock file: the line rbuild-lock 1 is missing"),
        ("# only words\n", "is not a lock file"),
        ("image a\n", "not a lock file: it begins with 'image a'"),
        (
            "rbuild-lock 2\nmagic\n",
            "version 2 of lock files is not known here, only 1: this file was written by a newer",
        ),
        ("rbuild-lock 0\n", "version 0 of lock files is not known"),
        ("rbuild-lock one\n", "not a lock file"),
        ("<<<<<<< HEAD\nrbuild-lock 1\n", "a merge left its mark here"),
    ],
)
def test_a_file_that_is_no_lock(text: str, message: str) -> None:
    with pytest.raises(LockError, match=message):
        parse_lock(text, "rbuild.lock")


def test_comments_stay_with_their_line() -> None:
    before = read(WHOLE)
    values = [
        entry._replace(above=(), beside="", value=B if entry.value == A else entry.value) for entry in before.entries
    ]
    after = before.with_entries([*values[::-1], Entry("url", "https://example.org/new", value=A)])
    added = f"url https://example.org/new {A}\n"
    assert lock_text(after) == WHOLE.replace(A, B).replace(
        "url https://example.org/x", added + "url https://example.org/x"
    )


def test_pins_are_found_as_sources_are_written() -> None:
    text = f"rbuild-lock 1\nimage a linux/arm64 {A}\ngit git@h:r.git {COMMIT}\nurl https://h/a%20b {B}\n"
    pins = LockPins(parse_lock(text, "rbuild.lock"), "rbuild.lock")
    assert pins.image("docker.io/library/a:latest", parse_platform("linux/arm64/v8")) == A
    assert pins.image("docker.io/library/a:latest", parse_platform("linux/amd64")) is None
    assert pins.git("git@h:r.git", "") == COMMIT
    assert pins.git("git@h:r.git", "main") is None
    assert pins.url("https://u:p@h/a b") == B
    assert pins.place("url", "https://h/a b") == "rbuild.lock:4"
    assert at_ref("git@h:r.git", "v1") == "git@h:r.git#v1"


@pytest.mark.parametrize(
    ("dockerfile", "lock"),
    [
        ("Dockerfile", "rbuild.lock"),
        ("d/dockerfile", "d/rbuild.lock"),
        ("d/App.Dockerfile", "d/App.Dockerfile.lock"),
        ("Containerfile", "Containerfile.lock"),
    ],
)
def test_the_lock_of_a_dockerfile(dockerfile: str, lock: str) -> None:
    assert beside(dockerfile) == path_for(".", dockerfile) == lock


def test_a_dockerfile_without_a_place_has_no_lock() -> None:
    assert path_for(".", "-") is path_for(".", "https://h/Dockerfile") is path_for("https://h/r.git", None) is None
    assert path_for(".", "Dockerfile", "") is None
    assert path_for("-", None, "x.lock") == "x.lock"
    assert path_for("https://h/r.git", "/d/Dockerfile") == "/d/rbuild.lock"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("docker.io/library/golang:1.21", ["golang:1.21"] * 2),
        ("golang:1.21", ["golang:1.21"] * 2),
        ("golang", ["golang:1.21"] * 2 + ["golang:1.22"]),
        ("docker.io/library/golang", ["golang:1.21"] * 2 + ["golang:1.22"]),
        ("alpine", ["alpine:latest"]),
        ("localhost:5000/a/b:1", ["localhost:5000/a/b:1"]),
        ("localhost:5000/a/b", ["localhost:5000/a/b:1"]),
        ("https://h/r.git", ["https://h/r.git#main", "https://h/r.git#v1"]),
        ("https://h/r.git#v1", ["https://h/r.git#v1"]),
        ("https://h/s.git", ["https://h/s.git"]),
        ("https://h/x", ["https://h/x"]),
        ("https://h", []),
        ("golang:1.2", []),
        ("1.21", []),
        ("linux/amd64", []),
    ],
)
def test_names_of_sources(name: str, found: list[str]) -> None:
    """A name without a tag is that of `latest` before it is that of all tags."""
    text = f"""rbuild-lock 1
platform linux/amd64
image golang:1.21 linux/amd64 {A}
image golang:1.21 linux/arm64 {A}
image golang:1.22 linux/amd64 {A}
image alpine linux/amd64 {A}
image alpine:3 linux/amd64 {A}
image localhost:5000/a/b:1 linux/amd64 {A}
git https://h/r.git#v1 {COMMIT}
git https://h/r.git#main {COMMIT}
git https://h/s.git {COMMIT}
git https://h/s.git#v1 {COMMIT}
url https://h/x {A}
"""
    entries = named(parse_lock(text, "rbuild.lock"), name)
    assert [entry.name.removeprefix("docker.io/library/") for entry in entries] == found
