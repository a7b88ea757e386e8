"""After a RUN with --build-ca: no byte of the authorities stays in what the step has written.

what the step did                          what becomes of it
renamed a new bundle over the old one      nothing to do: there is nothing of ours in it
changed, appended to or copied the bundle  our text is cut out, and the file is as it would have been
packed it into an archive, or cut it up    BuildError: it cannot be taken out again
installed the same authority in the image  stays: see `_Installed`
copied a certificate alone out of it       BuildError
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.executor.authorities import heads_in
from builder.executor.trust import BUNDLES
from builder.snapshots.filetree import join, resolve
from builder.snapshots.view import View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.executor.authorities import Authorities
    from builder.executor.copy_op import Target
    from builder.snapshots.filetree import FileTree
    from builder.snapshots.snapshot import Snapshot

PIECE = 4 << 20
OVERLAP = 4 << 10  # bytes of two pieces that are the same, so that nothing is missed at a border
LARGEST = 64 << 20  # bytes of a file that may be a bundle

# Where an image keeps the authorities that it trusts itself, before a bundle is made of them.
ANCHORS = (
    "usr/local/share/ca-certificates",
    "usr/share/ca-certificates",
    "etc/pki/ca-trust/source/anchors",
    "usr/share/pki/ca-trust-source/anchors",
    "etc/pki/trust/anchors",
    "usr/share/pki/trust/anchors",
    "etc/ca-certificates/trust-source/anchors",
    "usr/share/ca-certificates/trust-source/anchors",
)
CERTIFICATES = ("etc/ssl/certs", "etc/pki/tls/certs")


def clean(authorities: Authorities | None, below: Snapshot, mounted: Sequence[str], target: Target) -> None:
    """Raises BuildError when something would stay in `target.tree`, on top of `below`, that the step has from us.

    `mounted` are the targets of the mounts that the step asked for.
    """
    if authorities is None:
        return
    suspects: dict[str, set[bytes]] = {}
    for path, parent, name in _files(f"{target.tree}/diff"):
        found = _clean_file(path, parent, name, authorities)
        if found:
            suspects[path] = found
    if suspects:
        _judge(suspects, _installed(below, mounted, target))


def _files(top: str) -> Iterator[tuple[str, int, str]]:
    """(path, descriptor of its directory, name) of every regular file, whatever the depth; no link is followed."""
    opened = [("", os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))]
    pending = [sorted(os.listdir(opened[0][1]))]
    try:
        while pending:
            directory, parent = opened[-1]
            if not pending[-1]:
                pending.pop()
                os.close(opened.pop()[1])
                continue
            name = pending[-1].pop()
            mode = os.lstat(name, dir_fd=parent).st_mode
            if stat.S_ISREG(mode):
                yield join(directory, name), parent, name
            elif stat.S_ISDIR(mode):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                opened.append((join(directory, name), os.open(name, flags, dir_fd=parent)))
                pending.append(sorted(os.listdir(opened[-1][1])))
    finally:
        for _, descriptor in opened:
            os.close(descriptor)


def _clean_file(path: str, parent: int, name: str, authorities: Authorities) -> set[bytes]:
    """Cut our text out; what else of the authorities is in the file, by heads."""
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        ours, heads = _search(file, authorities)
    finally:
        os.close(file)
    return heads_in(_cut(path, parent, name, authorities)) & authorities.heads() if ours else heads


def _search(file: int, authorities: Authorities) -> tuple[bool, set[bytes]]:
    ours, heads, kept = False, set[bytes](), b""
    for piece in _pieces(file):
        content = kept + piece
        ours = ours or authorities.token in content
        heads |= heads_in(content)
        kept = content[-OVERLAP:]
    return ours, heads & authorities.heads()


def _pieces(file: int) -> Iterator[bytes]:
    """What is in a file, without its holes: one of a terabyte may be almost nothing."""
    position = 0
    while True:
        try:
            position = os.lseek(file, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        piece = os.read(file, PIECE)
        position += len(piece)
        yield piece


def _cut(path: str, parent: int, name: str, authorities: Authorities) -> bytes:
    """The content without our text, which is then that of the file; its time stays."""
    descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    with open(descriptor, "r+b") as file:
        before = os.fstat(descriptor)
        content = file.read() if before.st_size <= LARGEST else b"\0"
        rest = content.replace(authorities.block(), b"")
        # A zero byte: some other format, with lengths and sums of its own.
        if b"\0" in content or authorities.token in rest:
            raise _refused(path, "a copy of the bundle that trusts it, in a form from which it cannot be taken out")
        file.seek(0)
        file.write(rest)
        file.truncate()
        file.flush()
        os.utime(descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))
    return rest


def _installed(below: Snapshot, mounted: Sequence[str], target: Target) -> set[bytes] | None:
    """The authorities that the image has by its own will; None: there is no telling, for the step mounted some."""
    if any(path.startswith(tuple(f"/{anchors}" for anchors in ANCHORS)) for path in mounted):
        return None
    with View(below.over(target.tree), target.owners) as after:
        found = {head for path in ANCHORS for head in _heads_below(after, path)}
    for path in (*CERTIFICATES, *BUNDLES):
        found.update(_heads_below(target.base, path))
    return found


def _heads_below(tree: FileTree, path: str) -> set[bytes]:
    entry = tree.entry(resolve(tree, path))
    if entry is None:
        return set()
    if entry.is_dir:
        below = (join(entry.path, each.name) for each in tree.entries(entry.path) if not each.is_link)
        return {head for each in below for head in _heads_below(tree, each)}
    if not entry.is_file or entry.size > LARGEST:
        return set()
    with open(tree.open(entry), "rb") as file:
        return heads_in(file.read(LARGEST))


def _judge(suspects: dict[str, set[bytes]], installed: set[bytes] | None) -> None:
    for path, heads in suspects.items():
        if installed is not None and not heads <= installed:
            raise _refused(path, "a certificate of it")


def _refused(path: str, what: str) -> BuildError:
    return BuildError(
        f"--build-ca: the step has written to /{path} {what}",
        hint=f"an image that is to have the authority keeps it as /{ANCHORS[0]}/NAME.crt; else do not copy bundles",
    )
