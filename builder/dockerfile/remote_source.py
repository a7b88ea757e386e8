"""Sources of ADD that are elsewhere: files of the web and git repositories (dockerfile-language 1.9)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from builder.dockerfile.gitref import GitRef, parse_gitref, redacted, ref_to_fetch
from builder.errors import DockerfileError
from builder.graph.ops import GitOp, HttpOp
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.dockerfile.instructions import Add

_HTTP = re.compile(r"https?://")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-fA-F]{1,64}", re.ASCII)
_WILD = re.compile(r"([*?\[\\])")
UNNAMED = "__unnamed__"


class Remote(NamedTuple):
    """What is fetched, what of it is copied, and whether an archive is unpacked."""

    op: HttpOp | GitOp
    path: str
    unpack: bool


def is_remote(word: str) -> bool:
    """`github.com/a/b` is a path here: without a scheme it is a repository only as a build context."""
    if _HTTP.match(word):
        return True
    # A wrong query does not make a reference a path; `of` says what is wrong with it.
    found = parse_gitref(word.partition("?")[0].partition("#")[0])
    return found is not None and not found.local_lookalike


def of(word: str, item: Add, checksum: str) -> Remote:
    """Raises DockerfileError for flags that do not fit the source."""
    try:
        reference = parse_gitref(word)
    except DockerfileError as error:
        error.span = item.span
        raise
    if reference is not None:
        return Remote(_git(reference, item, checksum), "/", unpack=False)
    if item.keep_git_dir:
        raise DockerfileError(f"--keep-git-dir is for git repositories, and {redacted(word)} is a file", span=item.span)
    if checksum and not _SHA256.fullmatch(checksum):
        hint = "write sha256: and 64 hexadecimal digits; other algorithms are not supported"
        raise DockerfileError(f"invalid --checksum={checksum} of a download", span=item.span, hint=hint)
    name = file_name(word)
    return Remote(HttpOp(word, name, checksum), _WILD.sub(r"\\\1", name), unpack=item.unpack is True)


def _git(found: GitRef, item: Add, checksum: str) -> GitOp:
    wanted = checksum or found.checksum or ""
    if checksum and found.checksum and checksum != found.checksum:
        raise DockerfileError(f"--checksum={checksum} conflicts with {found.checksum} of the address", span=item.span)
    if item.keep_git_dir is not None and found.keep_git_dir not in (None, item.keep_git_dir):
        raise DockerfileError("--keep-git-dir conflicts with keep-git-dir of the address", span=item.span)
    if wanted and not _COMMIT.fullmatch(wanted):
        raise DockerfileError(
            f"invalid --checksum={wanted} of a repository", span=item.span, hint="give a commit, or its first digits"
        )
    if item.unpack is not None and item.unpack:
        raise DockerfileError("--unpack is for archives, and a repository is a directory", span=item.span)
    try:
        ref = ref_to_fetch(found, wanted)
    except DockerfileError as error:
        error.span = item.span
        raise
    return _git_op(found, ref, wanted, keep=bool(item.keep_git_dir or found.keep_git_dir))


def _git_op(found: GitRef, ref: str, checksum: str, *, keep: bool) -> GitOp:
    return GitOp(
        remote=found.remote,
        ref=ref,
        subdir=found.subdir or "",
        checksum=checksum,
        keep_git_dir=keep,
        submodules=found.submodules is not False,
        commit_times=found.mtime == "commit",
    )


def check_local(item: Add) -> None:
    if item.checksum is not None:
        raise DockerfileError(
            "--checksum is for files and repositories that are fetched, and this source is local",
            span=item.span,
            hint="files of the build context need none: the cache looks at their content",
        )
    if item.keep_git_dir:
        raise DockerfileError("--keep-git-dir is for git repositories, and this source is local", span=item.span)


def file_name(url: str) -> str:
    """The last part of the path of an address, `__unnamed__` where there is none that can be a file's name."""
    from urllib.parse import unquote, urlsplit

    try:
        path = urlsplit(url).path
    except ValueError:
        return UNNAMED
    name = unquote(path, errors="surrogateescape").rstrip("/").rpartition("/")[2]
    usable = name not in ("", ".", "..") and "\0" not in name and len(name.encode("utf-8", "surrogateescape")) <= 255
    return name if usable else UNNAMED
