"""The operations of a build: data only, no managers, callbacks or host paths.

An op's digest is the SHA-256 of the canonical encoding of its kind, its fields and the digests of its
inputs. What does not change the output (display name, source span) is a `Note`, kept beside the graph.
"""

from __future__ import annotations

import hashlib
import json

from builder.values import NamedTuple


class ScratchOp(NamedTuple):
    """The empty root file system."""


class ImageOp(NamedTuple):
    """The root file system of an image, pinned by manifest; `diff_ids` are its layers, lowest first."""

    manifest: str
    diff_ids: tuple[str, ...]


class ContextOp(NamedTuple):
    """A build context by name ("" is the main one). Steps that read it are keyed by the content that they read."""

    name: str


class HttpOp(NamedTuple):
    """A directory with the one file `name`, downloaded from `url`. `checksum` is sha256:… or "" for none.

    Keyed by what is fetched, not by where it comes from.
    """

    url: str
    name: str
    checksum: str = ""


class GitOp(NamedTuple):
    """A checkout of `ref` ("" for the default branch) of a repository, or of its directory `subdir`.

    `checksum` is the commit that it has to be, or its first digits. With `commit_times` files are dated by the commit.
    """

    remote: str
    ref: str = ""
    subdir: str = ""
    checksum: str = ""
    keep_git_dir: bool = False
    submodules: bool = True
    commit_times: bool = False


class MountPoint(NamedTuple):
    """What a RUN finds at `target` (absolute; "" for a secret that is an environment variable alone).

    `source` is the op whose `path` is bound (bind) or copied into a new cache; "" where there is none.
    `size` is in bytes, 0 for no limit. Secrets and ssh agents are named by `id`; what they hold is in no op.
    """

    kind: str  # bind, cache, tmpfs, secret or ssh
    target: str
    source: str = ""
    path: str = ""
    id: str = ""
    readonly: bool = False
    sharing: str = ""
    size: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    required: bool = False
    env: str = ""


class ExecOp(NamedTuple):
    """Run a process on a root file system; the result is the changed root.

    `hosts` are name and address for /etc/hosts, `ulimits` name, soft and hard limit, `shm_size` bytes of /dev/shm (0:
    the default). `platform` is that of the programs where it is not the builder's own, else "".
    """

    root: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    user: str
    network: str
    hostname: str
    scripts: tuple[tuple[str, str], ...] = ()  # name and text of scripts to execute from /dev/pipes
    mounts: tuple[MountPoint, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    ulimits: tuple[tuple[str, int, int], ...] = ()
    shm_size: int = 0
    security: str = "sandbox"
    platform: str = ""


class InlineFile(NamedTuple):
    """A file whose content stands in the Dockerfile (heredoc)."""

    name: str
    content: str


class CopySource(NamedTuple):
    """`paths` of the tree that `op` makes; with `unpack`, as ADD does it, a file that starts as a tar is unpacked."""

    op: str
    paths: tuple[str, ...]
    unpack: bool = False


class CopyOp(NamedTuple):
    """Copy `sources` in order, then `files`, to `dest` (absolute; a trailing slash makes it a directory).

    `chown` and `chmod` are as written, variables expanded. `keep_owner` is for trees that have owners, `parents`
    keeps the directories of each path.
    """

    root: str
    sources: tuple[CopySource, ...]
    files: tuple[InlineFile, ...]
    dest: str
    chown: str | None
    chmod: str | None
    exclude: tuple[str, ...]
    keep_owner: bool
    parents: bool = False


class MergeOp(NamedTuple):
    """The tree of `added`, an op made on the empty root, stacked on `root` (COPY --link); it writes nothing."""

    root: str
    added: str


class MkdirOp(NamedTuple):
    """Make `path` and its missing parents, owned by `user` (WORKDIR)."""

    root: str
    path: str
    user: str


Op = ScratchOp | ImageOp | ContextOp | HttpOp | GitOp | ExecOp | CopyOp | MergeOp | MkdirOp


def inputs(op: Op) -> tuple[str, ...]:
    """Digests of the ops that this one reads; the root that it changes comes first."""
    match op:
        case ExecOp():
            return (op.root, *(mount.source for mount in op.mounts if mount.source))
        case MkdirOp():
            return (op.root,)
        case CopyOp():
            return (op.root, *(source.op for source in op.sources))
        case MergeOp():
            return (op.root, op.added)
        case _:
            return ()


def own_fields(op: Op) -> list[object]:
    """The fields that name no other op, for keys: those of the inputs stand for them."""
    if isinstance(op, CopyOp):
        return [[source[1:] for source in op.sources], *op[2:]]
    if isinstance(op, ExecOp):
        op = op._replace(mounts=tuple(mount._replace(source="input" if mount.source else "") for mount in op.mounts))
    replaced = set(inputs(op))
    return [field for field in op if field not in replaced]


def makes_layer(op: Op) -> bool:
    return isinstance(op, ExecOp | CopyOp | MkdirOp)


def canonical(op: Op) -> str:
    """The text that is hashed: JSON of kind and fields, in field order, without spaces, ASCII only."""
    return json.dumps([type(op).__name__, *op], separators=(",", ":"))


def digest(op: Op) -> str:
    """64 lower-case hex digits."""
    return hashlib.sha256(canonical(op).encode()).hexdigest()
