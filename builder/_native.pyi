"""The C half of rbuild. File names are bytes; every failure is an OSError naming step and path.

An OSError from here has strerror "step: reason" ("mount proc: Operation not permitted"), the errno, and the
path that was being worked on as filename (bytes).
"""

# ---- sandbox: namespaces.c, resolve.c, spawn.c ----

Step = tuple[str, str, bytes, bytes, bytes, bytes, int, bool]
"""(op, name, target, source, fstype, data, flags, optional): one step of furnishing a root, see spawn."""

def unshare(flags: int) -> None: ...
def mount(source: bytes, target: bytes, fstype: bytes, flags: int, options: bytes) -> None: ...
def unmount(target: bytes, flags: int) -> None: ...
def resolve(root: int, path: bytes, nofollow: bool = False, walk: bool = False) -> int:
    """An O_PATH descriptor of `path` as a process with root directory `root` sees it; never outside of it.

    `walk` goes component by component, as is done where openat2 is refused.
    """

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
          symlink   source is its text                unlink
    Targets are resolved inside the root. An optional step is skipped when its target or source is not there.
    """
