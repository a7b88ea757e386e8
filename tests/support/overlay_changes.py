"""Random changes through real overlay mounts; run as a script inside a user and mount namespace.

    python -m tests.support.overlay_changes DIRECTORY SEED COUNT

For each case: a base tree, an overlay on it, changes made through the mount; then the layer of the upper directory,
applied to the base in three ways, must give what the mount showed: by our own view of the two trees, by our
unpacker and view, and by a small applier that knows only the image specification.
"""

from __future__ import annotations

import ctypes
import io
import os
import random
import shutil
import stat
import sys
import tarfile

from builder.layers.pack import pack_diff, pack_view
from builder.layers.tree import create_tree
from builder.layers.unpack import unpack
from tests.oracle.pack import pack as twin_pack

NAMES = ["a", "b", "c", "d.e", "d-f"]
CLAMP = 2**40


def random_path(dice: random.Random, depth: int = 3) -> str:
    return "/".join(dice.choice(NAMES) for _ in range(dice.randint(1, depth)))


def touch_parents(root: str, path: str) -> str | None:
    """The path under the root if its parents are directories or can be made so."""
    at = root
    for name in path.split("/")[:-1]:
        at = os.path.join(at, name)
        if not os.path.lexists(at):
            os.mkdir(at)
        elif os.path.islink(at) or not os.path.isdir(at):
            return None
    return os.path.join(root, path)


def clear(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def make_file(path: str, dice: random.Random) -> None:
    with open(path, "wb") as file:
        file.write(dice.randbytes(dice.choice([0, 1, 1000])))


def change(root: str, dice: random.Random) -> None:
    """One step of what a RUN does; what cannot be done where it falls is left."""
    path = touch_parents(root, random_path(dice))
    if path is None:
        return
    match dice.choice(
        ["file", "file", "mkdir", "remove", "replace", "symlink", "link", "rename", "chmod", "touch", "same"]
    ):
        case "file":
            clear(path)
            make_file(path, dice)
        case "mkdir":
            clear(path)
            os.mkdir(path)
            make_file(os.path.join(path, dice.choice(NAMES)), dice)
        case "remove":
            clear(path)
        case "replace" if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
            os.mkdir(path)
        case "symlink":
            clear(path)
            os.symlink(random_path(dice), path)
        case "link" | "rename" as how:
            move(root, path, dice, os.link if how == "link" else os.rename)
        case "chmod" if os.path.lexists(path) and not os.path.islink(path):
            os.chmod(path, dice.choice([0o700, 0o755, 0o644, 0o4711]))
        case "touch" if os.path.lexists(path) and not os.path.islink(path):
            os.utime(path, (dice.randint(0, 10**9),) * 2)
        case "same" if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "ab"):
                pass


def move(root: str, path: str, dice: random.Random, how: object) -> None:
    assert callable(how)
    target = touch_parents(root, random_path(dice))
    if target is None or not os.path.lexists(path) or target.startswith(path) or path.startswith(target):
        return
    if os.path.isdir(path) and not os.path.islink(path) and how is os.link:
        return
    clear(target)
    try:
        how(path, target)
    except OSError:
        pass  # EXDEV: a lower directory cannot be renamed with redirect_dir=off, which mv answers by copying


def describe(root: str) -> dict[str, tuple[object, ...]]:
    """Everything below a directory that the image specification knows, links by their group."""
    found: dict[str, tuple[object, ...]] = {}
    for directory, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = os.path.join(directory, name)
            found[os.path.relpath(path, root)] = describe_entry(path)
    return found


def describe_entry(path: str) -> tuple[object, ...]:
    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    if kind == stat.S_IFLNK:
        return (kind, os.readlink(path))
    content = b""
    if kind == stat.S_IFREG:
        with open(path, "rb") as file:
            content = file.read()
    return (st.st_mode, int(st.st_mtime_ns // 10**9), content)


def apply(layer: bytes, root: str) -> None:
    """The image specification's words about applying a layer, and nothing else."""
    made: set[str] = set()
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for member in tar:
            above, leaf = os.path.split(member.name)
            if leaf.startswith(".wh."):
                assert os.path.lexists(os.path.join(root, above, leaf[4:])), f"spurious whiteout {member.name}"
                assert os.path.join(above, leaf[4:]) not in made
                clear(os.path.join(root, above, leaf[4:]))
                continue
            made.add(member.name)
            put(tar, member, os.path.join(root, member.name), root)
        for member in reversed(tar.getmembers()):
            path = os.path.join(root, member.name)
            if not os.path.islink(path) and not os.path.basename(path).startswith(".wh."):
                os.utime(path, (member.mtime, member.mtime))


def put(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str, root: str) -> None:
    if not (member.isdir() and os.path.isdir(path) and not os.path.islink(path)):
        clear(path)
    if member.isdir():
        os.makedirs(path, exist_ok=True)
    elif member.issym():
        os.symlink(member.linkname, path)
        return
    elif member.islnk():
        os.link(os.path.join(root, member.linkname), path, follow_symlinks=False)
        return
    else:
        source = tar.extractfile(member)
        assert source
        with open(path, "wb") as file:
            file.write(source.read())
    os.chmod(path, member.mode)


def mount(base: str, upper: str, work: str, target: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"userxattr,xino=off,lowerdir={base},upperdir={upper},workdir={work}"
    if libc.mount(b"overlay", target.encode(), b"overlay", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount overlay")


def unmount(target: str) -> None:
    ctypes.CDLL(None).umount2(target.encode(), 2)


def case(top: str, seed: int) -> None:
    dice = random.Random(seed)
    base, upper = os.path.join(top, "base"), os.path.join(top, "upper")
    for tree in (base, upper):
        create_tree(tree)
    mounted, work = os.path.join(top, "mounted"), os.path.join(top, "work")
    os.mkdir(mounted)
    os.mkdir(work)
    for _ in range(dice.randint(0, 25)):
        change(f"{base}/diff", dice)
    mount(f"{base}/diff", f"{upper}/diff", work, mounted)
    try:
        for _ in range(dice.randint(0, 15)):
            change(mounted, dice)
        expected = describe(mounted)
    finally:
        unmount(mounted)
    compare(top, base, upper, expected)


def compare(top: str, base: str, upper: str, expected: dict[str, tuple[object, ...]]) -> None:
    out = io.BytesIO()
    pack_diff(upper, [base], out, owners="recorded", clamp=CLAMP, compression="none")
    layer = out.getvalue()
    assert layer == twin_pack([upper], [base], owners="recorded", clamp=CLAMP, layer=True), "the twins differ"
    assert flat(top, "view", [upper, base]) == expected, "the view differs"
    unpack(io.BytesIO(layer), os.path.join(top, "again"), owners="recorded")
    assert flat(top, "unpacked", [os.path.join(top, "again"), base]) == expected, "the unpacked layer differs"
    applied = os.path.join(top, "applied")
    shutil.copytree(f"{base}/diff", applied, symlinks=True)
    apply(layer, applied)
    assert describe(applied) == expected, "the applied layer differs"
    again = io.BytesIO()
    pack_diff(os.path.join(top, "again"), [base], again, owners="recorded", clamp=CLAMP, compression="none")
    assert again.getvalue() == layer, "a layer packs to another one"


def flat(top: str, name: str, trees: list[str]) -> dict[str, tuple[object, ...]]:
    out = io.BytesIO()
    pack_view(trees, out, owners="recorded", clamp=CLAMP)
    target = os.path.join(top, name)
    os.mkdir(target)
    apply(out.getvalue(), target)
    return describe(target)


def main(top: str, seed: int, count: int) -> None:
    for number in range(seed, seed + count):
        directory = os.path.join(top, str(number))
        os.mkdir(directory)
        try:
            case(directory, number)
        except AssertionError as error:
            raise SystemExit(f"seed {number}: {error}") from error
        shutil.rmtree(directory)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
