"""The C half of the sandbox by itself: resolving paths, and what spawn refuses."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from builder import _native

if TYPE_CHECKING:
    from pathlib import Path

BOTH_WAYS = pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root with links of every kind, beside a canary that none of them may reach."""
    root = tmp_path / "root"
    (root / "a/b/c").mkdir(parents=True)
    (root / "a/file").write_text("")
    (tmp_path / "canary").mkdir()
    for name, text in {
        "absolute": "/a/b",
        "relative": "a/b",
        "up": "a/../../../a",
        "out": "../canary",
        "host": str(tmp_path / "canary"),
        "loop": "loop",
        "pair1": "pair2",
        "pair2": "pair1",
        "dangling": "none/at/all",
        "a/b/back": "../../..",
        "chain": "absolute/back/relative/c",
    }.items():
        (root / name).symlink_to(text)
    return root


def resolve(root: Path, path: str, *, walk: bool, nofollow: bool = False) -> str | int:
    """Where `path` leads, relative to root, or the errno."""
    top = os.open(root, os.O_PATH)
    try:
        fd = _native.open_in_root(top, path.encode(), os.O_PATH | (os.O_NOFOLLOW if nofollow else 0), walk)
    except OSError as error:
        assert error.filename == path.encode()
        return error.errno or 0
    finally:
        os.close(top)
    try:
        found = os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    assert found == str(root) or found.startswith(f"{root}/"), "escaped"
    return os.path.relpath(found, root)


@BOTH_WAYS
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "."),
        (".", "."),
        ("//a///b/./c", "a/b/c"),
        ("..", "."),
        ("../../../..", "."),
        ("/../../a/../..", "."),
        ("a/file", "a/file"),
        ("absolute/c", "a/b/c"),
        ("relative/../b", "a/b"),
        ("up/b", "a/b"),
        ("chain", "a/b/c"),
        ("out", errno.ENOENT),
        ("host", errno.ENOENT),
        ("loop", errno.ELOOP),
        ("pair1/x", errno.ELOOP),
        ("dangling", errno.ENOENT),
        ("a/file/x", errno.ENOTDIR),
        ("none", errno.ENOENT),
        ("x" * 256, errno.ENAMETOOLONG),
        ("a/" * 2100, errno.ENAMETOOLONG),
    ],
)
def test_paths_stay_inside_the_root(tree: Path, path: str, expected: str | int, walk: bool) -> None:
    """The walk gives what openat2 gives, for every kind of path."""
    assert resolve(tree, path, walk=walk) == expected


@BOTH_WAYS
def test_nofollow_returns_the_link_itself(tree: Path, walk: bool) -> None:
    """Only the last component."""
    assert resolve(tree, "loop", walk=walk, nofollow=True) == "loop"
    assert resolve(tree, "absolute/back", walk=walk, nofollow=True) == "a/b/back"


@BOTH_WAYS
def test_magic_links_lead_nowhere(walk: bool) -> None:
    """K1: /proc/self/fd/N and its kin, from a root that has a /proc."""
    root = os.open("/", os.O_PATH)
    secret = os.open("/etc", os.O_RDONLY)
    unreachable = os.memfd_create("secret")

    for path in (f"/proc/self/fd/{unreachable}", "/proc/self/exe/x"):
        with pytest.raises(OSError):
            _native.open_in_root(root, path.encode(), os.O_PATH, walk)
    for fd in (root, secret, unreachable):
        os.close(fd)


@BOTH_WAYS
def test_resolving_leaves_no_descriptor(tree: Path, walk: bool) -> None:
    """On success and on every failure."""
    before = os.listdir("/proc/self/fd")
    for path in ("chain", "loop", "none", "a/file/x", "a/b/c/../../../..", "x" * 300):
        resolve(tree, path, walk=walk)

    assert os.listdir("/proc/self/fd") == before


@BOTH_WAYS
def test_deep_paths_end(tmp_path: Path, walk: bool) -> None:
    """A bounded number of descriptors, whatever the depth."""
    deep = "d/" * 200
    os.makedirs(tmp_path / deep)

    assert resolve(tmp_path, deep, walk=walk) == deep.rstrip("/")


def spawn(**fields: Any) -> tuple[int, int, int, int]:
    values: dict[str, Any] = {
        "steps": (),
        "argv": (b"true",),
        "programs": (b"/bin/true",),
        "env": (),
        "cwd": b"/",
        "hostname": b"",
        "namespaces": 0,
        "uid": 0,
        "gid": 0,
        "groups": None,
        "bounding": 0,
        "effective": 0,
        "umask": 0o22,
        "limits": (),
        "no_new_privs": True,
    }
    return _native.spawn(**values | fields)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"argv": [b"true"]}, TypeError),
        ({"argv": ("true",)}, TypeError),
        ({"env": (b"a\0b",)}, ValueError),
        ({"cwd": b"a\0b"}, ValueError),
        ({"groups": (-1,)}, (OverflowError, ValueError)),
        ({"groups": 5}, (TypeError, SystemError)),
        ({"limits": ((1,),)}, TypeError),
        ({"steps": (("fly", "fly", b"", b"", b"", b"", 0, False),)}, ValueError),
        ({"steps": (("mkdir", "mkdir"),)}, TypeError),
        ({"steps": (5,)}, (TypeError, SystemError)),
    ],
)
def test_wrong_values_are_errors_before_any_fork(fields: dict[str, Any], error: type[Exception]) -> None:
    """Everything is converted before the fork, so nothing is left to go wrong after it."""
    with pytest.raises(error):
        spawn(**fields)


def test_a_refused_step_is_named_with_its_path_and_leaves_nothing() -> None:
    """The child is reaped and every descriptor closed."""
    before = os.listdir("/proc/self/fd")
    step = ("reopen", "open layer", b"/nope", b"/nope", b"", b"", 9, False)

    with pytest.raises(OSError) as caught:
        spawn(steps=(step,))

    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, b"/nope")
    assert caught.value.strerror == "open layer: No such file or directory"
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer keeps freed memory")
def test_memory_stays_flat() -> None:
    """Ten thousand refusals."""
    import resource

    def refuse(times: int) -> None:
        for _ in range(times):
            with pytest.raises(TypeError):
                spawn(steps=(("reopen", "open", b"/", b"/", b"", b"", 9, False),) * 50, limits=((1,),))

    refuse(2000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refuse(10000)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2048
