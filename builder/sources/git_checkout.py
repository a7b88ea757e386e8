"""From a commit of a mirror to files: written by git's own plumbing, which runs no hook and follows no link.

mirror ─► read-tree (an index of our own) ─► checkout-index ─► room/work[/subdir] ─► target
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.sources.git_command import GitFailed
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.sources.git_command import Git

_LINK = "160000"
_ROW = re.compile(rb"(\d{6}) ([0-9a-f]{40,64}) \d\t(.*)", re.DOTALL)


class Checkout(NamedTuple):
    """`target` is an empty directory that becomes the checkout, `room` a free path for what is needed meanwhile."""

    mirror: str
    commit: str
    target: str
    room: str
    subdir: str
    url: str
    ref: str


class Submodule(NamedTuple):
    """`place` is the empty directory in the checkout that it belongs into."""

    place: str
    commit: str
    url: str


def check_out(git: Git, plan: Checkout, *, keep: bool, times: bool) -> list[Submodule]:
    """Fill `plan.target`; the submodules that are still to be put in. Raises GitFailed or BuildError."""
    work, index = f"{plan.room}/work", {"GIT_INDEX_FILE": f"{plan.room}/index"}
    os.makedirs(work)
    base = (f"--git-dir={plan.mirror}", f"--work-tree={work}")
    _check_subdir(git, plan)
    git.run(*base, "read-tree", plan.commit, extra=index)
    paths = [plan.subdir + "/"] if plan.subdir else []
    listed = git.run("--literal-pathspecs", *base, "-C", work, "ls-files", "-z", "--stage", "--", *paths, extra=index)
    rows = [match.groups() for row in listed.split(b"\0") if (match := _ROW.fullmatch(row))]
    names = b"".join(name + b"\0" for mode, _, name in rows if mode.decode() != _LINK)
    git.run(*base, "-C", work, "checkout-index", "-z", "--stdin", "--quiet", extra=index, stdin=names)
    links = [(os.fsdecode(name), commit.decode()) for mode, commit, name in rows if mode.decode() == _LINK]
    source = _inside(work, plan.subdir)
    os.makedirs(source, mode=0o755, exist_ok=True)
    found = _submodules(git, plan, links)
    os.rmdir(plan.target)
    os.rename(source, plan.target)
    os.chmod(plan.target, 0o755)
    if keep and not plan.subdir:
        _keep_repository(git, plan)
    if times:
        date(plan.target, int(git.run(*base[:1], "show", "-s", "--format=%ct", plan.commit).split()[0]))
    return found


def _check_subdir(git: Git, plan: Checkout) -> None:
    """A name of a commit's trees is no path of a disk: neither `..` nor a link leads anywhere."""
    if not plan.subdir:
        return
    try:
        kind = git.run(f"--git-dir={plan.mirror}", "cat-file", "-t", f"{plan.commit}:{plan.subdir}").strip()
    except GitFailed:
        raise BuildError(f"{plan.url}: there is no directory {plan.subdir!r} in commit {plan.commit[:12]}") from None
    if kind != b"tree":
        raise BuildError(f"{plan.url}: {plan.subdir!r} is not a directory in commit {plan.commit[:12]}")


def _inside(root: str, path: str) -> str:
    """root/path, once it is sure that no part of it is a link."""
    here = root
    for part in filter(None, path.split("/")):
        here = f"{here}/{part}"
        if os.path.lexists(here) and not stat.S_ISDIR(os.lstat(here).st_mode):
            raise BuildError(f"{path!r} leads through something that is no directory")
    return here


def _submodules(git: Git, plan: Checkout, links: list[tuple[str, str]]) -> list[Submodule]:
    """Each with its address. One that .gitmodules does not speak of stays an empty directory, as git has it."""
    urls = _addresses(git, plan) if links else {}
    found = []
    for path, commit in links:
        if path not in urls:
            continue
        os.makedirs(_inside(f"{plan.room}/work", path), mode=0o755, exist_ok=True)
        below = path.removeprefix(f"{plan.subdir}/") if plan.subdir else path
        found.append(Submodule(f"{plan.target}/{below}", commit, urls[path]))
    return found


def _addresses(git: Git, plan: Checkout) -> dict[str, str]:
    """Path and url of each submodule that .gitmodules names; it is read from the commit, never from a disk."""
    try:
        words = ("config", "-z", f"--blob={plan.commit}:.gitmodules", "--get-regexp", r"^submodule\..*\.(path|url)$")
        listed = git.run(f"--git-dir={plan.mirror}", *words)
    except GitFailed:
        return {}
    values: dict[str, dict[str, str]] = {}
    for row in filter(None, listed.split(b"\0")):
        key, _, value = os.fsdecode(row).partition("\n")
        name, _, field = key.rpartition(".")
        values.setdefault(name, {})[field] = value
    return {item["path"]: item["url"] for item in values.values() if "path" in item and "url" in item}


def _keep_repository(git: Git, plan: Checkout) -> None:
    """A .git with this one commit. Objects are loose and the index holds no times, so that the bytes are the same."""
    here = f"{plan.target}/.git"
    base = (f"--git-dir={here}", f"--work-tree={plan.target}")
    git.run("init", "--quiet", "--template=", plan.target)
    source = ref_of_mirror(plan.commit)
    git.run(f"--git-dir={plan.mirror}", "update-ref", source, plan.commit)
    loose = ("-c", "fetch.unpackLimit=100000000", "-c", "core.compression=6")
    where = f"file://{plan.mirror}"
    git.run(*base, *loose, "fetch", "--quiet", "--no-tags", "--depth=1", "--", where, source, allow="file")
    if plan.ref.startswith("refs/tags/"):
        git.run(*base, "update-ref", plan.ref, plan.commit)
    elif plan.ref.startswith("refs/heads/"):
        git.run(*base, "update-ref", "refs/remotes/origin/" + plan.ref.removeprefix("refs/heads/"), plan.commit)
    git.run(*base, "update-ref", "--no-deref", "HEAD", plan.commit)
    git.run(*base, "config", "remote.origin.url", plan.url)
    git.run(*base, "read-tree", plan.commit)
    os.unlink(f"{here}/FETCH_HEAD")


def ref_of_mirror(commit: str) -> str:
    return f"refs/rbuild/{commit}"


def date(root: str, seconds: int) -> None:
    """Give all files below and `root` itself one modification time."""
    for directory, folders, files in os.walk(root):
        for name in [*folders, *files]:
            os.utime(f"{directory}/{name}", (seconds, seconds), follow_symlinks=False)
    os.utime(root, (seconds, seconds))
