"""Checkouts of git repositories (dockerfile-language 1.9): files 0644 or 0755, directories 0755, all of root.

    address, ref ─► ls-remote ─► commit ─► tree in the store, if one is there
                                      └─► mirror (git/<id>, bare) ─► fetch what is new ─► checkout ─► tree

Submodules are checkouts of their own, put into their places: `git submodule` is never run, and what a
repository says of them is checked as the address of an ADD is.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from builder.dockerfile.gitref import redacted
from builder.errors import AuthError, BuildError, NetworkError, NotFound, OfflineError
from builder.layers.tree import DIFF, create_tree
from builder.sources.fetched import COMMITTED, Fetched, checkout_content, checkout_tree, identity
from builder.sources.git_checkout import Checkout, check_out
from builder.sources.git_command import Git, GitFailed
from builder.store.files import locked
from builder.store.paths import store_errors
from builder.values import NamedTuple

if TYPE_CHECKING:
    from builder.events import Flag
    from builder.sources.credentials import Credentials
    from builder.store.store import Store

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_PREFIX = re.compile(r"[0-9a-f]{4,63}", re.ASCII)
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/.]|[/.]$|\.lock$|/\.")
_PROTOCOLS = ("https", "http", "ssh", "git")
_NETWORK = "https:http:ssh:git"
_DEPTH = 16  # submodules of submodules; deeper is somebody's joke


class Wanted(NamedTuple):
    """What to check out. `ref` "" is the default branch; `checksum` a commit or its first digits."""

    remote: str
    ref: str = ""
    subdir: str = ""
    checksum: str = ""
    keep_git_dir: bool = False
    submodules: bool = True
    commit_times: bool = False


class GitSource:
    def __init__(self, store: Store, credentials: Credentials, cancelled: Flag, *, offline: bool) -> None:
        self._store = store
        self._credentials = credentials
        self._git = Git(cancelled, credentials.agent)
        self._offline = offline

    def fetch(self, wanted: Wanted, pinned: str = "") -> Fetched:
        """The checkout, of the commit `pinned` if there is one, wherever the ref leads by now.

        Raises BuildError; nothing is asked of the network for a full commit that is here.
        """
        _check(wanted)
        wanted = wanted._replace(subdir=clean_subdir(wanted.subdir))
        commit, ref = self._pinned(wanted, pinned) if pinned else self._resolve(wanted)
        if wanted.checksum and not commit.startswith(wanted.checksum.lower()):
            raise BuildError(
                f"{redacted(wanted.remote)}: {wanted.ref or 'HEAD'} is commit {commit}, and not {wanted.checksum}",
                hint="the ref was moved, or the checksum is of another one",
            )
        kept = (redacted(wanted.remote), ref) if wanted.keep_git_dir else ()
        content = checkout_content(commit, wanted.subdir, wanted.submodules, wanted.commit_times, kept)
        name = checkout_tree(content)
        place = self._store.trees.path("sources", "both", name)
        known = os.path.isdir(place)
        if not known:
            place = self._make(wanted, commit, ref, name)
        return Fetched(place, content, _time(place), moved=not known)

    def _make(self, wanted: Wanted, commit: str, ref: str, name: str) -> str:
        with self._store.trees.scratch("checkout") as staged, self._store.trees.scratch("repository") as room:
            create_tree(staged)
            self._fill(wanted, commit, ref, f"{staged}/{DIFF}", room, 0)
            with open(f"{staged}/{COMMITTED}", "w") as file:
                file.write(str(self._commit_time(wanted.remote, commit)))
            return self._store.trees.publish(staged, "sources", "both", name)

    def _fill(self, wanted: Wanted, commit: str, ref: str, target: str, room: str, depth: int) -> None:
        """Check `commit` out into the directory `target`, and its submodules into their places."""
        if depth > _DEPTH:
            raise BuildError(f"{redacted(wanted.remote)}: submodules more than {_DEPTH} deep")
        mirror = self._have(wanted, commit, ref)
        url = redacted(wanted.remote)
        plan = Checkout(mirror, commit, target, f"{room}/{depth}-{identity(target)[:8]}", wanted.subdir, url, ref)
        with _git_errors(wanted.remote, "check out"):
            links = check_out(self._git, plan, keep=wanted.keep_git_dir, times=wanted.commit_times)
        if not wanted.submodules:
            return
        for link in links:
            below = wanted._replace(remote=submodule_url(wanted.remote, link.url), ref="", subdir="", checksum="")
            _check(below)
            self._fill(below, link.commit, link.commit, link.place, room, depth + 1)

    def commit(self, wanted: Wanted) -> str:
        """The commit that `fetch` would check out."""
        _check(wanted)
        return self._resolve(wanted)[0]

    def _pinned(self, wanted: Wanted, commit: str) -> tuple[str, str]:
        """A kept repository says which ref led to the commit: its full name has to be known."""
        return commit, self._resolve(wanted)[1] if wanted.keep_git_dir else ""

    def _resolve(self, wanted: Wanted) -> tuple[str, str]:
        """The commit, and the full name of the ref that led to it ("" for a commit)."""
        if _COMMIT.fullmatch(wanted.ref):
            return wanted.ref, ""
        if self._offline:
            return self._remembered(wanted)
        found = self._ls_remote(wanted)
        if found is None and _PREFIX.fullmatch(wanted.ref):
            return self._complete(wanted), ""
        if found is None:
            what = f"the ref {wanted.ref!r}" if wanted.ref else "a HEAD"
            raise NotFound(f"{redacted(wanted.remote)} does not have {what}", hint="give a branch, a tag or a commit")
        self._store.records.put(_ref_key(wanted), {"commit": found[0], "ref": found[1]})
        return found

    def _remembered(self, wanted: Wanted) -> tuple[str, str]:
        record = self._store.records.get(_ref_key(wanted))
        commit = str(record.get("commit")) if record else ""
        if not _COMMIT.fullmatch(commit):
            raise _not_offline(wanted)
        return commit, str(record["ref"]) if record else ""

    def _ls_remote(self, wanted: Wanted) -> tuple[str, str] | None:
        names = [wanted.ref, f"{wanted.ref}^{{}}"] if wanted.ref else ["HEAD"]
        with _git_errors(wanted.remote, "read"):
            listed = self._network(wanted.remote, "ls-remote", "--quiet", "--", _spelled(wanted.remote), *names)
        rows = [line.split("\t") for line in listed.decode("utf-8", "surrogateescape").splitlines() if "\t" in line]
        known = {name: commit for commit, name in rows if _COMMIT.fullmatch(commit)}
        if not wanted.ref:
            return (known["HEAD"], "HEAD") if "HEAD" in known else None
        bare = wanted.ref.removeprefix("refs/")
        # As `git checkout` has it: a branch before a tag of the same name.
        for name in (wanted.ref, f"refs/heads/{wanted.ref}", f"refs/tags/{wanted.ref}", f"refs/{bare}"):
            if name in known and (name.startswith("refs/") or name == "HEAD"):
                return known.get(f"{name}^{{}}", known[name]), name
        return None

    def _complete(self, wanted: Wanted) -> str:
        """The one commit that begins with these digits: all branches and tags have to be here to know it."""
        mirror = self._mirror(wanted.remote)
        with locked(f"{mirror}.lock"), _git_errors(wanted.remote, "fetch"):
            self._fetch_all(wanted.remote, mirror)
            try:
                found = self._git.run(f"--git-dir={mirror}", "rev-parse", "--verify", f"{wanted.ref}^{{commit}}")
            except GitFailed:
                raise NotFound(
                    f"{redacted(wanted.remote)} does not have the ref {wanted.ref!r}",
                    hint="no branch or tag has this name, and not exactly one commit begins so",
                ) from None
        return found.decode().strip()

    def _have(self, wanted: Wanted, commit: str, ref: str) -> str:
        """The mirror of a repository, with `commit` in it."""
        mirror = self._mirror(wanted.remote)
        with locked(f"{mirror}.lock"), _git_errors(wanted.remote, "fetch"):
            if not self._has(mirror, commit):
                if self._offline:
                    raise _not_offline(wanted)
                self._fetch(wanted.remote, mirror, commit, ref)
        return mirror

    def _mirror(self, remote: str) -> str:
        path = f"{self._store.root}/git/{identity(redacted(remote))[:40]}"
        with store_errors(f"make {path}"):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.exists(f"{path}/HEAD"):
            with locked(f"{path}.lock"):
                self._git.run("init", "--quiet", "--bare", "--template=", path)
        return path

    def _has(self, mirror: str, commit: str) -> bool:
        try:
            self._git.run(f"--git-dir={mirror}", "cat-file", "-e", f"{commit}^{{tree}}")
        except GitFailed:
            return False
        return True

    def _fetch(self, remote: str, mirror: str, commit: str, ref: str) -> None:
        """One commit without its past where the server gives that; else everything."""
        kept = f"refs/rbuild/{commit}"
        for source in dict.fromkeys((ref or commit, commit)):
            try:
                words = ("fetch", "--quiet", "--no-tags", "--depth=1", "--", _spelled(remote), f"+{source}:{kept}")
                self._network(remote, f"--git-dir={mirror}", *words)
            except GitFailed as failed:
                if _unreachable(failed.text):
                    raise
            if self._has(mirror, commit):
                return
        self._fetch_all(remote, mirror)
        if not self._has(mirror, commit):
            raise NotFound(f"{redacted(remote)} does not have the commit {commit}")

    def _fetch_all(self, remote: str, mirror: str) -> None:
        whole = ("--unshallow",) if os.path.exists(f"{mirror}/shallow") else ()
        specs = ("+refs/heads/*:refs/remotes/all/*", "+refs/tags/*:refs/remote-tags/*")
        words = ("fetch", "--quiet", "--no-tags", *whole, "--", _spelled(remote), *specs)
        self._network(remote, f"--git-dir={mirror}", *words)

    def _network(self, remote: str, *words: str) -> bytes:
        headers: dict[str, str] = {}
        scheme, _, rest = _spelled(remote).partition("://")
        if scheme in ("http", "https"):
            host = rest.partition("/")[0].rpartition("@")[2]
            if header := self._credentials.for_repository(re.sub(r":\d+$", "", host)):
                headers[f"{scheme}://{host}/"] = header
        return self._git.run(*words, allow=_NETWORK, headers=headers)

    def _commit_time(self, remote: str, commit: str) -> int:
        with _git_errors(remote, "read"):
            mirror = self._mirror(remote)
            return int(self._git.run(f"--git-dir={mirror}", "show", "-s", "--format=%ct", commit).split()[0])


def _time(place: str) -> int | None:
    try:
        with open(f"{place}/{COMMITTED}") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _ref_key(wanted: Wanted) -> str:
    return identity("git-ref", redacted(wanted.remote), wanted.ref)


def _spelled(remote: str) -> str:
    """`github.com/a/b` is short for its https address."""
    return f"https://{remote}" if remote.startswith("github.com/") else remote


def _check(wanted: Wanted) -> None:
    """Raise for what git, or a program that it starts, could take for an option or a command."""
    scheme = _spelled(wanted.remote).partition("://")
    host = scheme[2] if scheme[1] else wanted.remote
    if (
        (scheme[1] and scheme[0] not in _PROTOCOLS)
        or host.startswith("-")
        or re.search(r"[\x00-\x20\x7f]|::|@-", wanted.remote)
    ):
        raise BuildError(
            f"{redacted(wanted.remote)!r} is not the address of a repository", hint=f"known are {', '.join(_PROTOCOLS)}"
        )
    if re.search(r"//-|:-", wanted.remote):
        raise BuildError(f"{redacted(wanted.remote)!r}: a host or path cannot begin with a dash")
    if wanted.ref and _BAD_REF.search(wanted.ref):
        raise BuildError(f"{wanted.ref!r} is not the name of a git ref", hint="a branch, a tag or a commit")
    if wanted.checksum and not re.fullmatch(r"[0-9a-fA-F]{1,64}", wanted.checksum, re.ASCII):
        raise BuildError(f"invalid checksum {wanted.checksum!r} of a repository", hint="a commit or its first digits")


def clean_subdir(path: str) -> str:
    """`path` without needless parts; BuildError when it leads out of the repository or into its .git."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in path or any(part.lower() == ".git" for part in parts):
        raise BuildError(
            f"the directory {path!r} is not inside the repository", hint="#REF:DIRECTORY is below its root"
        )
    return "/".join(parts)


def submodule_url(remote: str, url: str) -> str:
    """The address of a submodule, maybe relative to that of its repository; BuildError for a path of this machine."""
    from builder.dockerfile.gitref import parse_gitref

    base = _spelled(remote).rstrip("/")
    if not url.startswith(("./", "../")):
        if re.match(r"(https?|ssh|git)://", url) or parse_gitref(url) is not None:
            return url
        raise BuildError(
            f"{redacted(remote)}: the submodule address {redacted(url)!r} is not allowed",
            hint="https, ssh and git addresses are; ?submodules=false leaves submodules out",
        )
    while url.startswith(("./", "../")):
        up, _, url = url.partition("/")
        if up == "..":
            head, slash, _ = base.rpartition("/")
            head, slash, _ = (head, slash, "") if slash else base.rpartition(":")
            if not slash or head.endswith((":", "/")):
                raise BuildError(f"{redacted(remote)}: a submodule's address leads above its host")
            base = head + (":" if slash == ":" else "")
    return base + url if base.endswith(":") else f"{base}/{url}"


def _not_offline(wanted: Wanted) -> OfflineError:
    shown = redacted(wanted.remote) + (f"#{wanted.ref}" if wanted.ref else "")
    return OfflineError(
        f"{shown} has not been fetched before, and --offline forbids to fetch it now",
        wanted=shown,
        hint="build once without --offline, or name a directory with --build-context",
    )


_UNREACHABLE = (
    "could not resolve",
    "unable to connect",
    "connection refused",
    "authentication failed",
    "permission denied",
    "timed out",
    "could not read username",
    "terminal prompts disabled",
    "certificate",
    "host key",
)


# A number alone would be found in a port, too.
_DENIED = re.compile(
    r"Authentication failed|could not read Username|Permission denied|(?:returned error:|HTTP(?: code)?) 40[13]\b"
)


def _unreachable(text: str) -> bool:
    return any(word in text.lower() for word in _UNREACHABLE)


class _git_errors:  # noqa: N801 (a context manager, read like a function)
    """What git says, as an error of ours: the server, the reason, what to do."""

    def __init__(self, remote: str, doing: str) -> None:
        self._remote, self._doing = remote, doing

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        if not isinstance(error, GitFailed):
            return
        lines = [line for line in error.text.splitlines() if line.strip()] or ["git failed"]
        said = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
        reason = said.partition(": ")[2] or said
        message = (
            f"cannot {self._doing} {redacted(self._remote)}: {reason.replace(self._remote, redacted(self._remote))}"
        )
        if _DENIED.search(error.text):
            raise AuthError(
                message,
                hint="pass a token with --secret id=GIT_AUTH_TOKEN,src=FILE, or an agent with --ssh default",
            ) from None
        untrusted = "certificate" in reason.lower()
        hint = "SSL_CERT_FILE=FILE names the authorities to trust" if untrusted else "check the address and the network"
        raise NetworkError(message, hint=hint) from None
