"""Where COPY and ADD put what they copy: a list of placements, computed before anything is written."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from builder.errors import BuildError
from builder.executor.members import Member, members_below
from builder.executor.traps import ignored
from builder.snapshots.filetree import Entry, join, parent, resolve
from builder.values import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from builder.executor.chmod import Mode
    from builder.executor.select import Source
    from builder.snapshots.filetree import FileTree
    from builder.snapshots.view import View


class Placement(NamedTuple):
    """One entry of the new tree. `kind` is dir, file, symlink, hardlink, fifo, device, copyup or subtree.

    `origin` is what to copy content, times and xattrs from; for a copyup, the directory of a lower tree
    that is repeated with its metadata; for a subtree, the one of which all that it holds is copied. `link` is the
    first path of a hardlink, `content` that of a file without an origin. `mode` holds type and permission bits;
    in a subtree -1 for it, `uid` and `gid` stands for what each entry has.
    """

    kind: str
    path: str
    mode: int
    uid: int
    gid: int
    origin: Entry | None = None
    link: str = ""
    content: bytes = b""


class Inline(NamedTuple):
    """A file whose content is known (heredoc)."""

    name: str
    content: bytes


class Rules(NamedTuple):
    """How metadata of copies is decided. `owner` None keeps that of the source.

    `replace` is the rule of archives: what stands in the way of an entry goes; for plain copies it is an error.
    """

    owner: tuple[int, int] | None
    chmod: Mode | None
    replace: bool = False


class CopyPlan:
    """Collects the placements of one COPY or ADD over the view of its root file system."""

    def __init__(self, base: View, dest: str, rules: Rules, trap: Callable[[str, str], None] = ignored) -> None:
        """`dest` is absolute; with a trailing slash it is a directory in any case. `destination` is where it leads."""
        self._base = base
        self._dest = dest
        self._rules = rules
        self._trap = trap
        self._kinds: dict[str, str] = {"": "dir"}
        self.destination = resolve(base, dest)
        self.placements: list[Placement] = []

    def add(self, source: Source, tree: FileTree, *, alone: bool = False) -> None:
        """`alone`: nothing else is added, so that nobody has to know what a whole directory holds."""
        if not source.entry.is_dir:
            self._place(self._target(source.name), source.entry, {})
            return
        self.make_destination()
        if source.whole and alone and self._is_free(self.destination):
            self._add_subtree(source.entry)
            return
        members = members_below(tree, source.entry.path, "", None) if source.whole else source.members
        self.add_members(Member(join(self.destination, member.path), member.entry) for member in members)

    def add_inline(self, file: Inline) -> None:
        mode = self._mode(stat.S_IFREG | 0o644)
        uid, gid = self._rules.owner or (0, 0)
        path = self._ready(self._target(file.name), is_dir=False)
        self._put(Placement("file", path, mode, uid, gid, content=file.content))

    def add_members(self, members: Iterable[Member]) -> None:
        """Place entries whose paths are those that they shall have."""
        first: dict[tuple[object, int], str] = {}
        for member in members:
            self._place(member.path, member.entry, first)

    def make_destination(self) -> None:
        """Place the destination itself as a directory."""
        there = self._base.entry(self.destination)
        if (there and not there.is_dir) or self._kinds.get(self.destination, "dir") != "dir":
            raise BuildError(
                f"cannot copy to {self._dest!r}: it is not a directory there",
                hint="choose another destination, or remove the file in an earlier step",
            )
        self._make_directory(self.destination, asked=True)

    def _target(self, name: str) -> str:
        """The path of a copied file: inside `dest` when that is a directory, else `dest` itself, not followed."""
        there = self._base.entry(self.destination)
        if self._dest.endswith("/") or (there and there.is_dir) or self._kinds.get(self.destination) == "dir":
            return join(self.destination, name)
        path = resolve(self._base, self._dest, follow=False)
        if self._kinds.get(path) == "file":
            self._trap("SeveralFilesToOneName", f"{name} takes the place of what was copied to {self._dest} before it")
        return path

    def _is_free(self, directory: str) -> bool:
        """Whether nothing can be in the way of what comes into it. Symbolic modes look at each file."""
        chmod = self._rules.chmod
        return (chmod is None or chmod.octal) and not self._base.entries(directory)

    def _add_subtree(self, entry: Entry) -> None:
        uid, gid = self._rules.owner or (-1, -1)
        mode = self._rules.chmod.apply(0, True) if self._rules.chmod else -1
        self.placements.append(Placement("subtree", self.destination, mode, uid, gid, origin=entry))

    def _place(self, path: str, entry: Entry, first: dict[tuple[object, int], str]) -> None:
        """Place one source entry; `first` remembers where the first of several hard links went."""
        path = self._ready(path, entry.is_dir)
        uid, gid = self._rules.owner or (entry.uid, entry.gid)
        if entry.is_file and entry.links > 1:
            link = first.setdefault(entry.inode, path)
            if link != path:
                self._put(Placement("hardlink", path, entry.mode, uid, gid, link=link))
                return
        mode = entry.mode if entry.is_link else self._mode(entry.mode)
        self._put(Placement(_kind(entry.mode), path, mode, uid, gid, origin=entry))

    def _ready(self, path: str, is_dir: bool) -> str:
        """Make the parents of `path` and see that what is there may be replaced."""
        self._make_directory(parent(path))
        there = self._base.entry(path)
        was_dir = self._kinds[path] == "dir" if path in self._kinds else there is not None and there.is_dir
        occupied = path in self._kinds or there is not None
        if occupied and was_dir != is_dir and not self._rules.replace:
            have, want = ("a directory", "a file") if was_dir else ("not a directory", "a directory")
            raise BuildError(
                f"cannot copy to /{path}: it is {have} there, and {want} in the source",
                hint="choose another destination, or remove it in an earlier step",
            )
        return path

    def _make_directory(self, path: str, *, asked: bool = False) -> None:
        """See that the directory exists in the new tree, as it is below or new: 0755, or as --chown and --chmod say."""
        if self._kinds.get(path) == "dir":
            return
        self._make_directory(parent(path))
        there = self._base.entry(path)
        if there is not None and there.is_dir:
            self._put(Placement("copyup", path, there.mode, there.uid, there.gid, origin=there))
            return
        if (there is not None or path in self._kinds) and not self._rules.replace:
            raise BuildError(
                f"cannot copy to {self._dest!r}: /{path} is not a directory",
                hint="choose another destination, or remove the file in an earlier step",
            )
        uid, gid = self._rules.owner or (0, 0)
        chmod = self._rules.chmod
        bits = chmod.apply(0o755, True) if chmod and chmod.octal else 0o755
        if bits != 0o755 and not asked:
            self._trap("ChmodOfMadeDirectories", f"the new directory /{path} gets the mode {bits:04o} of --chmod, too")
        self._put(Placement("dir", path, stat.S_IFDIR | bits, uid, gid))

    def _mode(self, mode: int) -> int:
        if self._rules.chmod is None:
            return mode
        bits = self._rules.chmod.apply(stat.S_IMODE(mode), stat.S_ISDIR(mode))
        return stat.S_IFMT(mode) | bits

    def _put(self, placement: Placement) -> None:
        self._kinds[placement.path] = "dir" if placement.kind in ("dir", "copyup") else "file"
        self.placements.append(placement)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "dir"
    if stat.S_ISLNK(mode):
        return "symlink"
    if stat.S_ISFIFO(mode):
        return "fifo"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return "device"
    return "file"  # a socket arrives as an empty regular file, as with the reference implementation
