"""Is this text a git repository, and which part of it? (dockerfile-language 1.9)

    https://host/repo.git#ref:dir    ssh://host/repo    git://host/repo    git@host:repo.git?tag=v1

Pure: nothing is looked up. Says only what the text says: `keep_git_dir` and `submodules` are None when
it says nothing.
"""

from __future__ import annotations

import re

from builder.errors import DockerfileError
from builder.values import NamedTuple

_URL = re.compile(r"(?P<scheme>https?|ssh|git)://[^/?#]*(?P<path>[^?#]*)", re.DOTALL)
_SCP = re.compile(r"[a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:[^?#]*", re.DOTALL)
_GITHUB = re.compile(r"github\.com/[^?#]*", re.DOTALL)
_REST = re.compile(r"(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?", re.DOTALL)
_TRUE = ("", "1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_BARE = frozenset({"keep-git-dir", "submodules", "fetch-by-commit"})
_KEYS = frozenset({"ref", "tag", "branch", "subdir", "checksum", "commit", "mtime", *_BARE})


_COMMIT = re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", re.ASCII)
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s:]*:[^/?#\s]*@|(?<=http://)[^/?#\s]+@|(?<=https://)[^/?#\s]+@")


def redacted(text: str) -> str:
    """`text` without the credentials that addresses in it carry: they belong into no log, image or message."""
    return _CREDENTIALS.sub("", text)


class GitRef(NamedTuple):
    """`local_lookalike`: `github.com/a/b` could as well be a path, and is a repository only as a build context.

    `plaintext`: nothing on the way to this repository is encrypted or authenticated.
    """

    remote: str
    short_name: str
    ref: str | None = None
    subdir: str | None = None
    checksum: str | None = None
    mtime: str | None = None
    keep_git_dir: bool | None = None
    submodules: bool | None = None
    fetch_by_commit: bool = False
    local_lookalike: bool = False
    plaintext: bool = False


def parse_gitref(text: str) -> GitRef | None:
    """None when `text` is no git reference; raises DockerfileError, without a span, for a wrong query."""
    remote = _remote(text)
    if remote is None:
        return None
    rest = _REST.fullmatch(text, len(remote))
    query, fragment = (rest["query"], rest["fragment"]) if rest else (None, None)
    ref, _, subdir = (fragment or "").partition(":")
    found = GitRef(
        remote=remote,
        short_name=remote.rpartition("/")[2].removesuffix(".git"),
        ref=ref or None,
        subdir=subdir or None,
        local_lookalike=remote.startswith("github.com/"),
        plaintext=remote.startswith(("http://", "git://")),
    )
    return _with_query(found, query) if query else found


def ref_to_fetch(found: GitRef, checksum: str) -> str:
    """The ref, "" for the default branch; with fetch-by-commit the commit itself, which no branch has to have."""
    if not found.fetch_by_commit:
        return found.ref or ""
    if not _COMMIT.fullmatch(checksum):
        raise DockerfileError(
            "fetch-by-commit of a git reference needs the whole commit", hint="add checksum= with all its digits"
        )
    return checksum.lower()


def _remote(text: str) -> str | None:
    if url := _URL.match(text):
        # Any other http(s) address is a file to download.
        is_file = url["scheme"].startswith("http") and not url["path"].endswith(".git")
        return None if is_file else url[0]
    other = _GITHUB.match(text) or _SCP.match(text)
    return other[0] if other else None


def _with_query(found: GitRef, query: str) -> GitRef:
    values = _query(query)
    ref = _agreed("ref", found.ref, values.get("ref"))
    if "tag" in values and "branch" in values:
        raise DockerfileError("branch conflicts with tag in a git reference")
    ref = _agreed("ref", ref, _full_name(values.get("tag"), "refs/tags/"))
    ref = _agreed("ref", ref, _full_name(values.get("branch"), "refs/heads/"))
    return found._replace(
        ref=ref,
        subdir=_agreed("subdir", found.subdir, values.get("subdir")),
        checksum=_agreed("checksum", values.get("checksum"), values.get("commit")),
        mtime=_mtime(values.get("mtime")),
        keep_git_dir=_boolean(values, "keep-git-dir"),
        submodules=_boolean(values, "submodules"),
        fetch_by_commit=bool(_boolean(values, "fetch-by-commit")),
    )


def _query(query: str) -> dict[str, str]:
    from urllib.parse import unquote_plus

    values: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, value = (unquote_plus(side, errors="surrogateescape") for side in part.partition("=")[::2])
        if key not in _KEYS:
            raise DockerfileError(f'unexpected query "{key}" in a git reference', hint=", ".join(sorted(_KEYS)))
        if key in values:
            raise DockerfileError(f'query "{key}" of a git reference has multiple values')
        if not value and key not in _BARE:
            raise DockerfileError(f'query "{key}" of a git reference has no value')
        values[key] = value
    return values


def _agreed(name: str, first: str | None, second: str | None) -> str | None:
    if first and second and first != second:
        raise DockerfileError(f'{name} conflicts in a git reference: "{first}" vs "{second}"')
    return first or second


def _full_name(name: str | None, prefix: str) -> str | None:
    return None if name is None else prefix + name.removeprefix(prefix)


def _mtime(value: str | None) -> str | None:
    if value not in (None, "checkout", "commit"):
        raise DockerfileError(f'invalid mtime value in a git reference: "{value}"', hint="checkout or commit")
    return value


def _boolean(values: dict[str, str], key: str) -> bool | None:
    value = values.get(key)
    if value is None:
        return None
    if value not in _TRUE + _FALSE:
        raise DockerfileError(f'invalid {key} value in a git reference: "{value}"', hint="true or false")
    return value in _TRUE
