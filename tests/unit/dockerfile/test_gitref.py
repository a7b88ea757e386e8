"""Git references: what is one, and what it says."""

from __future__ import annotations

import pytest

from builder.dockerfile.gitref import GitRef, parse_gitref
from builder.errors import DockerfileError


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a/b.git",
        "./a.git",
        "../git@host:x",
        "https://host/a",
        "https://host/a.git/",
        "https://host/a.gitx",
        "https://host.git",
        "https://host/a?x=.git",
        "https://host/a#.git",
        "ftp://host/a.git",
        "host:a.git",
        "host.example/a/b.git",
        "file:///a.git",
    ],
)
def test_not_git(text: str) -> None:
    assert parse_gitref(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://u:p@host:8443/a/b.git", GitRef("https://u:p@host:8443/a/b.git", "b")),
        ("http://host/b.git", GitRef("http://host/b.git", "b", plaintext=True)),
        ("git://host/b", GitRef("git://host/b", "b", plaintext=True)),
        ("ssh://git@host/b", GitRef("ssh://git@host/b", "b")),
        ("git@host.example:a/b.git#v1:c/d", GitRef("git@host.example:a/b.git", "b", ref="v1", subdir="c/d")),
        ("github.com/a/b#v1", GitRef("github.com/a/b", "b", ref="v1", local_lookalike=True)),
        ("https://h/b.git#", GitRef("https://h/b.git", "b")),
        ("https://h/b.git#:c", GitRef("https://h/b.git", "b", subdir="c")),
        ("https://h/b.git?ref=a%2Fb+c", GitRef("https://h/b.git", "b", ref="a/b c")),
        ("https://h/b.git?tag=refs/tags/v1", GitRef("https://h/b.git", "b", ref="refs/tags/v1")),
        ("https://h/b.git?ref=v1#v1", GitRef("https://h/b.git", "b", ref="v1")),
        ("https://h/b.git?commit=abc", GitRef("https://h/b.git", "b", checksum="abc")),
        ("https://h/b.git?keep-git-dir", GitRef("https://h/b.git", "b", keep_git_dir=True)),
        (
            "https://h/b.git?submodules=0&keep-git-dir=false&mtime=commit",
            GitRef("https://h/b.git", "b", mtime="commit", submodules=False, keep_git_dir=False),
        ),
    ],
)
def test_git(text: str, expected: GitRef) -> None:
    assert parse_gitref(text) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("nothing=1", 'unexpected query "nothing"'),
        ("ref=a&ref=b", 'query "ref" of a git reference has multiple values'),
        ("ref=", 'query "ref" of a git reference has no value'),
        ("tag=a&branch=b", "branch conflicts with tag"),
        ("ref=a&tag=b", "ref conflicts"),
        ("checksum=a&commit=b", "checksum conflicts"),
        ("subdir=a#:b", "subdir conflicts"),
        ("submodules=maybe", "invalid submodules value"),
        ("mtime=now", "invalid mtime value"),
    ],
)
def test_wrong_queries(query: str, message: str) -> None:
    with pytest.raises(DockerfileError, match=message):
        parse_gitref(f"https://h/b.git?{query}")
