"""The C half of rbuild. File names are bytes; every failure is an OSError naming step and path.

An OSError from here has strerror "step: reason" ("mount proc: Operation not permitted"), the errno, and the
path that was being worked on as filename (bytes). What is wrong with an archive or a tree rather than with
the kernel is `ValueError(reason, path)`. All functions release the GIL while they work.

A `tree_fd` is a descriptor of T (see `builder.layers.tree`), not of T/diff. Paths of trees are relative to
T/diff, without a leading slash; b"" is T/diff itself.
"""

from collections.abc import Callable, Sequence

# ---- sandbox: namespaces.c, spawn.c ----

Step = tuple[str, str, bytes, bytes, bytes, bytes, int, bool]
"""(op, name, target, source, fstype, data, flags, optional): one step of furnishing a root, see spawn."""

def unshare(flags: int) -> None: ...
def mount(source: bytes, target: bytes, fstype: bytes, flags: int, options: bytes) -> None: ...
def unmount(target: bytes, flags: int) -> None: ...
def mount_detached(fstype: bytes) -> int:
    """A new mount of `fstype` without a mount point, as a descriptor of its root (fsopen, fsmount)."""

def spawn(
    *,
    steps: tuple[Step, ...],
    argv: tuple[bytes, ...],
    programs: tuple[bytes, ...],
    env: tuple[bytes, ...],
    cwd: bytes,
    hostname: bytes,
    namespaces: int,
    uid: int,
    gid: int,
    groups: tuple[int, ...] | None,
    bounding: int,
    effective: int,
    umask: int,
    limits: tuple[tuple[int, int, int], ...],
    no_new_privs: bool,
) -> tuple[int, int, int, int]:
    """Start a process in new namespaces: (pid, pidfd, stdout, stderr); the caller closes the last three.

    `namespaces` are CLONE_NEW* flags. In the child, in this order: the steps, host name and loopback,
    pivot_root, cwd (resolved in-root), descriptors 0..2, limits, groups (None leaves them), ids and
    capabilities; then the first of `programs` that exists is executed with `argv` and `env`. When any of
    it fails the child is reaped and an OSError raised; its strerror starts with the name of the step, or of
    what else was tried ("cwd", "exec" …). The child is killed when the calling thread or the process dies.

    Ops:  reopen    open the host directory source as descriptor number flags
          root      mount source on the host directory target and make it the new root; the options in
                    data may name descriptors as paths relative to /proc/self/fd
          mount     mount a fstype on target
          bind      bind the host's source on target
          alias     bind the root's source on target
          readonly  make target read-only; with MS_REC in flags also what is mounted below
          mkdir     flags is the mode                 file      with data; flags is the mode
          symlink   source is its text                unlink    flags as unlinkat(2)
          pick      bind source, resolved inside the root's directory fstype, on target
          ensure    make what is missing of target: directories, last a file unless flags is 1
          chown     flags is uid | gid << 32          detach    unmount target lazily
    Targets are resolved inside the root. An optional step is skipped when its target or source is not there.
    """

# ---- layers: inroot.c, tree.c, unpack.c, pack.c, place.c ----

# mode (with type bits), uid, gid, rdev (as os.makedev), size, mtime_ns, ino, nlink
_Stat = tuple[int, int, int, int, int, int, int, int]

def open_in_root(root_fd: int, path: bytes, flags: int, force_walk: bool = False, beneath: bool = False) -> int:
    """Open `path` as if `root_fd` were the root directory: absolute symlinks and `..` stay inside.

    openat2(RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS); where the kernel or a filter refuses it, or with
    `force_walk`, a walk of the components with O_PATH|O_NOFOLLOW. `flags` as open(2), O_CLOEXEC is added;
    O_CREAT is not allowed. A final symlink is followed unless O_NOFOLLOW, which with O_PATH gives the link itself.
    `beneath`: no symlink is followed in any component, and no `..`; `flags` must have O_NOFOLLOW then.
    """

def tree_stat(tree_fd: int, paths: tuple[bytes, ...], owners: str) -> list[_Stat]:
    """Effective metadata of entries of one tree; no symlink is followed, in no component.

    A whiteout is (S_IFCHR, …, rdev 0, …). OSError(ENOENT) when this tree has no such entry,
    OSError(ENOTDIR or ELOOP) when a parent is not a directory in this tree.
    """

def tree_seal(tree_fd: int) -> None:
    """Make every directory u+rwx and file u+rw on disk, for a tree of recorded owners a step has written.

    What the image says stays as it is, by a record, so that later steps and the user himself can read and
    delete the tree without any namespace.
    """

def list_directory(root_fd: int, path: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """One plain directory below `root_fd`: names and stats of the directories in it, names and stats of all else.

    Sorted by name. Each name ends with a NUL. A stat is eight native 64-bit words: mode (with type bits), links,
    rdev, dev, ino, size, mtime and ctime in nanoseconds (signed). What is gone before it is looked at is left
    out. No symlink is followed in `path`: OSError(ELOOP).
    """

def unpack(
    read: Callable[[], bytes | bytearray | memoryview],
    tree_fd: int,
    owners: str,
    layer: bool,
    limits: tuple[int, int, int, int, int, int],
    force_walk: bool = False,
) -> tuple[int, int, bytes]:
    """Make what an uncompressed tar has in T/diff and T/journal; returns (entries, bytes of file data, implied).

    `implied`: the paths, NUL after each, of directories that were made because members are in them; of those in
    each other the innermost. Members that came later may have replaced them.

    `read` gives the next bytes of the archive, as many as it likes, b"" at the end, to which it is always
    read; it is called with the GIL, and what it raises comes out of here. `layer`: `.wh.` names are
    whiteouts and opaque marks; otherwise they are errors. `limits`: entries, bytes, header bytes, path
    length, name length, depth. ValueError names the member.
    """

def pack(
    uppers: Sequence[int],
    lowers: Sequence[int],
    write: Callable[[bytes], object],
    owners: str,
    clamp: int,
    layer: bool,
) -> int:
    """Give the tar of the merged view of the trees `uppers` (topmost first) to `write`; returns entries.

    `write` gets a fresh bytes object at a time: 1 MiB each, the last one what is left (never nothing). What it
    raises ends the packing and comes out of it. `layer`: what `uppers` (then one tree) changes against the
    merged view of `lowers`, with whiteouts; otherwise the view itself, flat. `clamp`: no mtime in the tar is
    later (seconds of the epoch). Two names are a hard link when they are one inode of one tree.

    openat, fstat, flistxattr, read (into the bytes) and close for a file; readlinkat; getdents64; lseek for
    holes; in `lowers` fstatat for each name of `uppers` and nothing for others. ValueError(reason, path) for what
    no layer can hold and for what changes while it is read; OSError names the path.
    """

def place(
    entries: Sequence[tuple[object, ...]], tree_fd: int, owners: str, source: str, trees: Sequence[int], lent: bytes
) -> None:
    """Create `entries` (see `builder.layers.place.Entry`) in T/diff, in order, and rewrite T/journal.

    `source` says what the entries' src_fd are: "context" (plain directories) or "tree" (descriptors of T).
    `trees` are what entries of kind "subtree" are read from, topmost first: those of which the directory takes part
    in the merge; the byte of `lent` for each is not 0 where a file that needs no change may be linked instead of
    copied. The GIL is released once for the whole batch.
    """
