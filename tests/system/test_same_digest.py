"""D-T1: one manifest digest for one Dockerfile and its files: wherever, whenever, whoever, however isolated."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.sandbox.tiers import Tier
from tests.support.builds import GUIDE, build_busybox, build_go, write_context
from tests.support.command import Rbuild, tier_works
from tests.support.tools import ROOT, need_tool

# All that a file system can hold and a tier might tell differently.
EVERYTHING = """\
FROM busybox
COPY --chown=1234:4321 tree /tree
COPY --chown=7 --chmod=4711 tree/file /suid
ADD tree/file /added/
RUN mkdir -p /gone /again && echo old >/gone/old && echo old >/again/old && chmod 2750 /again && \\
    echo a >/one && ln /one /two && ln -s one /three && mkfifo -m 601 /fifo && \\
    touch -d '2001-02-03 04:05:06' /past && touch -d '2037-01-01 00:00:00' /future && umask 027 && mkdir /by-umask
RUN rm -r /gone /again && mkdir /again && echo new >/again/new && chmod 600 /tree/file && chmod 0 /one
RUN true
USER 1234
WORKDIR /srv/here
"""
TARGETS = {"client": "client", "server": "server", "everything": None}
Digests = dict[str, str]


class Site:
    """A directory with the contexts, a store, and whoever builds there."""

    def __init__(self, directory: Path, busybox: Path, user: str = "") -> None:
        self.directory = directory
        self.busybox = busybox
        self.contexts = directory / "contexts"
        self.rbuild = Rbuild(directory / "store", user)

    def prepare(self) -> None:
        shutil.copytree(GUIDE, self.contexts / "guide")
        files = {"tree/file": "content\n", "tree/sub/deep": "deep\n"}
        write_context(self.contexts / "everything", EVERYTHING, files)
        (self.contexts / "everything/tree/link").symlink_to("sub/deep")
        for path in [self.contexts, *self.contexts.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)

    def build_bases(self) -> None:
        build_busybox(self.rbuild, self.busybox, self.directory / "busybox-context")
        build_go(self.rbuild, self.directory / "golang-context")

    def digests(self, *options: str) -> Digests:
        return {name: self.digest(name, target, *options) for name, target in TARGETS.items()}

    def digest(self, name: str, target: str | None, *options: str) -> str:
        chosen = ["--target", target] if target else []
        context = self.contexts / ("guide" if target else name)
        return self.rbuild("--quiet", *options, *chosen, context).stdout.strip()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Where `expected` was built; its cache is warm."""
    if not tier_works():
        pytest.skip("this host gives no user namespace to RUN in")
    site = Site(tmp_path_factory.mktemp("home"), Path(need_tool("busybox")))
    site.prepare()
    site.build_bases()
    yield site
    site.rbuild.clean()


@pytest.fixture(scope="module")
def expected(home: Site) -> Digests:
    return home.digests()


@pytest.fixture
def away(home: Site, tmp_path: Path) -> Iterator[Site]:
    """Another directory with an empty store."""
    site = Site(tmp_path / "away", home.busybox)
    site.directory.mkdir()
    site.prepare()
    yield site
    site.rbuild.clean()


def test_in_another_directory_on_another_day(away: Site, expected: Digests) -> None:
    for number, path in enumerate(away.contexts.rglob("*")):
        os.utime(path, (10**9 + number, 10**9 + 7 * number), follow_symlinks=False)
    away.build_bases()
    assert away.digests() == expected


def test_with_a_warm_cache_and_with_none(home: Site, expected: Digests) -> None:
    assert home.digests() == expected
    assert home.digests("--no-cache") == expected


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_at_any_number_of_jobs(home: Site, expected: Digests, jobs: str) -> None:
    assert home.digests("--no-cache", f"--jobs={jobs}") == expected


def test_ten_times(home: Site, expected: Digests) -> None:
    """D6: some builders alternate between two digests."""
    assert {home.digest("everything", None, "--no-cache") for _ in range(10)} == {expected["everything"]}


def test_in_each_tier(tier: Tier, away: Site, expected: Digests, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bases are built in the tier too."""
    monkeypatch.setenv("RBUILD_ISOLATION", tier)
    away.build_bases()
    assert away.digests() == expected


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o000])
def test_under_any_umask(away: Site, expected: Digests, umask: int) -> None:
    before = os.umask(umask)
    try:
        away.build_bases()
        assert away.digests() == expected
    finally:
        os.umask(before)


def test_whatever_the_environment(home: Site, expected: Digests, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "HOME": "/", "PYTHONHASHSEED": "7"}.items():
        monkeypatch.setenv(name, value)
    assert home.digests("--no-cache") == expected


def test_with_other_inodes_and_hard_links(away: Site, expected: Digests) -> None:
    """Inode numbers, hard links and the order of a directory are no inputs."""
    tree = away.contexts / "everything/tree"
    shutil.copytree(tree, tree.with_name("other"), symlinks=True)
    shutil.rmtree(tree)
    tree.with_name("other").rename(tree)
    os.link(tree / "file", away.contexts / "everything" / "hard-link")
    away.build_bases()
    assert away.digest("everything", None) == expected["everything"]


def others() -> list[str]:
    """Accounts that root can build as: one without subordinate ids, and one with."""
    if os.geteuid() != 0:
        return []
    known = {account.pw_name for account in pwd.getpwall()}
    ranges = Path("/etc/subuid")
    lines = ranges.read_text().splitlines() if ranges.exists() else []
    granted = [name for name in (line.split(":")[0] for line in lines) if name in known]
    return [*({"nobody"} & known), *granted[:1]]


@pytest.mark.parametrize("user", others() or [pytest.param("", marks=pytest.mark.skip("only root can be others"))])
def test_as_another_user(user: str, home: Site, expected: Digests) -> None:
    directory = Path(tempfile.mkdtemp(prefix="rbuild-", dir="/tmp"))  # pytest's directories are closed to others
    site = Site(directory, home.busybox, user)
    try:
        site.prepare()
        directory.chmod(0o755)
        shutil.chown(directory, user)
        if not _can_read_us(user):
            pytest.skip(f"{user} cannot read this checkout")
        site.build_bases()
        assert site.digests() == expected
    finally:
        shutil.rmtree(directory)


def _can_read_us(user: str) -> bool:
    read = [sys.executable, "-c", "import builder._native"]
    return subprocess.run(read, user=user, cwd=ROOT, stderr=subprocess.DEVNULL, check=False).returncode == 0
