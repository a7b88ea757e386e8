"""Bundles made on one machine and used on another that has no network and an empty store."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from builder.bundling import BundleRequest, bundle
from builder.oci import mediatypes
from builder.oci.assemble import assemble_index
from builder.oci.config import ImageConfig
from builder.oci.platform import host, parse_platform
from builder.request import BuildRequest
from builder.store.store import Store
from tests.support.builds import build, write_context
from tests.support.bundles import Machine
from tests.support.command import Rbuild
from tests.support.consumers import skopeo
from tests.support.images import put_image
from tests.support.registries import Registry
from tests.support.tools import need_tool
from tests.support.web import Web

OTHER = "arm64" if host().architecture != "arm64" else "amd64"


@pytest.fixture
def here(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "store")


@pytest.fixture
def island(tmp_path: Path) -> Machine:
    """Another machine: its store is empty."""
    return Machine(tmp_path / "island")


@pytest.fixture(scope="session")
def no_network() -> list[str]:
    """The words that start a program in an empty network namespace; skipped by name where that is refused."""
    words = [need_tool("unshare"), "-rn"]
    tried = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"unshare -rn: {tried.stderr.strip()}")
    return words


class Home(NamedTuple):
    """A machine with a Dockerfile that needs something of every kind, its bundle, and the digest that is built."""

    machine: Machine
    web: Web
    context: Path
    commit: str
    bundle: Path
    digest: str


DOCKERFILE = """\
FROM base:1 AS tools
ADD {url}/tool.bin /tool
FROM other:2 AS unused
ADD {url}/unused.bin /
FROM base:1
COPY --from=tools /tool /tool
COPY --from=other:2 /hello /hello
ADD --checksum=sha256:{sha} {url}/sum.bin /sum
ADD {url}/r.git#main:d /sub/
ADD --keep-git-dir {url}/r.git#v1 /kept/
ADD {url}/m.git?submodules=0 /without/
ADD {url}/m.git?mtime=commit /with/
COPY mark /mark
"""


def tag(machine: Machine, name: str, files: dict[str, bytes]) -> None:
    with Store.open(str(machine.store)) as store:
        store.tags.set(f"docker.io/library/{name}", put_image(store, files).manifest)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    place = tmp_path_factory.mktemp("home")
    machine, web, context = Machine(place / "store"), served(place / "www"), place / "context"
    for name in ("tool", "unused", "sum"):
        (web.root / f"{name}.bin").write_text(name * 50)
    commit = web.repository("r", "mkdir d; echo 1 >d/f; chmod +x d/f; echo 2 >top; ln -s top link")
    web.repository("s", "echo 1 >inner")
    add = f"$G submodule --quiet add {web.root}/s.git sub; $G config -f .gitmodules submodule.sub.url ../s.git"
    web.repository("m", add)
    tag(machine, "base:1", {"base": b"base"})
    tag(machine, "other:2", {"hello": b"hello", "etc/x": b"x" * 3000})
    sha = hashlib.sha256(b"sum" * 50).hexdigest()
    context.mkdir()
    write_context(context, DOCKERFILE.format(url=web.url, sha=sha), {"mark": "1"})
    path = machine.bundle(place / "x.tar", context)
    yield Home(machine, web, context, commit, path, machine.build(context))
    web.close()


def served(root: Path) -> Web:
    root.mkdir()
    return Web(root)


def listed(path: Path) -> Any:
    return json.loads(Machine(path)("bundle", "--list", path, "--json").stdout)


def test_the_same_digest_without_a_network(home: Home, island: Machine, no_network: list[str]) -> None:
    assert island.offline(no_network, "--bundle", home.bundle, home.context) == home.digest
    dated = ("--build-arg", "SOURCE_DATE_EPOCH=1500000000")
    there = island.build("--offline", "--bundle", home.bundle, *dated, home.context)
    assert there == home.machine.build("--offline", *dated, home.context)
    assert there != home.digest


def test_cached_steps_come_along_or_run_on_what_a_bundle_brought(
    rbuild: Rbuild, base: str, web: Web, context: Path, tmp_path: Path
) -> None:
    """A step that gives another result each time tells whether it was run."""
    web.repository("r", "echo 1 >g")
    stage = "FROM busybox AS made\nRUN cat /proc/uptime /proc/sys/kernel/random/uuid >/when\n"
    run = "RUN --mount=from=busybox,target=/m cmp /bin/busybox /m/bin/busybox && cp /when /again\n"
    rest = f"FROM busybox\nADD {web.url}/r.git /r\nCOPY --from=made /when /when\n{run}"
    write_context(context, stage + rest)
    path = tmp_path / "x.tar"
    home = Machine(rbuild.store)
    refused = home("bundle", "--cache", "-o", path, context, status=1).stderr
    assert "has not been built here as it is now" in refused
    here = build(rbuild, context)
    home.bundle(path, "--cache", context)
    row = next(row for row in listed(path)["sources"] if row["kind"] == "cache")
    assert row["name"] == "stage-1: 3 steps"

    island = Rbuild(tmp_path / "island")
    there = build(island, "--offline", "--bundle", path, context)
    assert there.digest == here.digest
    assert there.steps("StepStarted") == [f"fetch {web.url}/r.git"]
    # With a step more nothing fits: all run, and no layer of the other machine is taken.
    write_context(context, stage + rest + "RUN cmp /when /again && cp /when /third\n")
    out = tmp_path / "out"
    more = build(island, "--offline", "--bundle", path, "-o", f"type=local,dest={out}", context)
    assert len(more.steps("StepStarted")) >= 5
    assert (out / "when").read_bytes() == (out / "again").read_bytes() == (out / "third").read_bytes()
    island.clean()


def test_cached_steps_packed_otherwise_are_not_taken(home: Home, island: Machine, tmp_path: Path) -> None:
    path = home.machine.bundle(tmp_path / "x.tar", "--cache", home.context)
    words = ["--compression=none", "--build-arg", "SOURCE_DATE_EPOCH=77", home.context]
    assert island.build("--offline", "--bundle", path, *words) == home.machine.build(*words) != home.digest
    assert island.build("--offline", "--bundle", path, home.context) == home.digest


def test_cached_steps_of_several_targets(home: Home, island: Machine, tmp_path: Path) -> None:
    targets = ["--target", "tools", "--target", "unused"]
    for name in targets[1::2]:
        home.machine.build("--target", name, home.context)
    path = home.machine.bundle(tmp_path / "x.tar", "--cache", *targets, home.context)
    rows = [row["name"] for row in listed(path)["sources"] if row["kind"] == "cache"]
    assert rows == ["tools: 1 step", "unused: 1 step"]
    again = home.machine.bundle(tmp_path / "y.tar", "--cache", *targets[2:], *targets[:2], home.context)
    assert again.read_bytes() == path.read_bytes()
    assert island.build("--offline", "--bundle", path, "--target", "unused", home.context)


def test_what_is_in_it(home: Home) -> None:
    rows = [(row["kind"], row["name"]) for row in listed(home.bundle)["sources"]]
    url = home.web.url
    assert rows == [
        ("image", "docker.io/library/base:1"),
        ("image", "docker.io/library/other:2"),
        ("url", f"{url}/sum.bin"),
        ("url", f"{url}/tool.bin"),
        ("url", f"{url}/unused.bin"),
        ("git", f"{url}/m.git?submodules=0"),
        ("git", f"{url}/m.git?mtime=commit"),
        ("git", f"{url}/r.git#main:d"),
        ("git", f"{url}/r.git?keep-git-dir=1#v1"),
    ]
    table = home.machine("bundle", "--list", home.bundle).stdout.splitlines()
    assert table[0].split() == ["KIND", "NAME", "PLATFORM", "SIZE", "DIGEST"]
    assert table[1].split()[:3] == ["image", "docker.io/library/base:1", str(host())]
    assert table[-1].split()[-1] == home.commit[:12]


def test_targets_choose(home: Home, tmp_path: Path) -> None:
    path = home.machine.bundle(tmp_path / "x.tar", "--target", "tools", home.context)
    assert [row["kind"] for row in listed(path)["sources"]] == ["image", "url"]
    path = home.machine.bundle(tmp_path / "y.tar", "--target", "tools", "--target", "unused", home.context)
    assert [row["kind"] for row in listed(path)["sources"]] == ["image", "image", "url", "url"]
    run = home.machine("bundle", "-o", tmp_path / "z.tar", "--target", "tool", home.context, status=1)
    assert "did you mean" in run.stderr


def test_the_same_sources_give_the_same_bytes(home: Home, island: Machine, tmp_path: Path) -> None:
    again = home.machine.bundle(tmp_path / "y.tar", home.context)
    piped = io.BytesIO()
    bundle(BundleRequest(BuildRequest(str(home.context), store=str(home.machine.store)), "-"), piped)
    there = island.bundle(tmp_path / "z.tar", "--offline", "--bundle", home.bundle, home.context)
    assert home.bundle.read_bytes() == again.read_bytes() == piped.getvalue() == there.read_bytes()
    folder = home.machine.bundle(tmp_path / "folder", home.context)
    assert (folder / "index.json").read_bytes() in home.bundle.read_bytes()
    assert Machine(tmp_path / "third").build("--offline", "--bundle", folder, home.context) == home.digest


def test_other_tools_read_it(home: Home, tmp_path: Path) -> None:
    skopeo("copy", f"oci-archive:{home.bundle}:docker.io/library/other:2", f"oci:{tmp_path / 'out'}:x")
    folder = home.machine.bundle(tmp_path / "folder", home.context)
    found = json.loads(skopeo("inspect", f"oci:{folder}:docker.io/library/base:1"))
    assert found["Digest"] == listed(home.bundle)["sources"][0]["digest"]


def test_several_platforms(here: Machine, island: Machine, context: Path, tmp_path: Path) -> None:
    with Store.open(str(here.store)) as store:
        mine = put_image(store, {"hello": b"mine"})
        theirs = put_image(store, {"hello": b"theirs"}, config=ImageConfig(labels=(("for", OTHER),)))
        pairs = [(mine.manifest, host()), (theirs.manifest, parse_platform(OTHER))]
        index = assemble_index(pairs, ()).encode()
        store.tags.set("docker.io/library/both:1", store.blobs.put_bytes(mediatypes.INDEX, index))
    write_context(context, "FROM both:1\nCOPY Dockerfile /\n")
    both = f"--platform={host()},linux/{OTHER}"
    path = here.bundle(tmp_path / "x.tar", both, context)
    assert island.build("--offline", "--bundle", path, both, context) == here.build(both, context)
    alone = here.bundle(tmp_path / "y.tar", f"--platform=linux/{OTHER}", context)
    assert [row["platform"] for row in listed(alone)["sources"]] == [f"linux/{OTHER}"]
    assert alone.stat().st_size < path.stat().st_size
    said = Machine(tmp_path / "third").refused("--offline", "--bundle", alone, context, status=4)
    assert "both:1" in said
    assert "Dockerfile:1" in said


def test_images_of_a_registry_come_along(
    here: Machine, island: Machine, plain_registry: Registry, context: Path, tmp_path: Path
) -> None:
    """Of an index only what the platforms need; layers that no build has needed yet are fetched."""
    name, mine = "bundles/base", str(host())
    images = {
        platform: plain_registry.push(name, platform.replace("/", "-"), {"f": platform.encode()}, platform=platform)
        for platform in (mine, f"linux/{OTHER}")
    }
    plain_registry.push_index(name, "1", images)
    other = plain_registry.push("bundles/tool", "2", {"tool": b"x" * 5000}, platform=mine)
    write_context(context, f"FROM {plain_registry.host}/{name}:1\nCOPY --from={other.reference} /tool /t\n")
    path = here.bundle(tmp_path / "x.tar", context)
    assert [row["digest"] for row in listed(path)["sources"]] == [images[mine].digest, other.digest]
    assert images[f"linux/{OTHER}"].digest[7:] not in blob_names(path)
    assert island.build("--offline", "--bundle", path, context) == here.build(context)
    # A lock names the manifest, the bundle the index that it is in.
    here("lock", context)
    assert island.build("--offline", "--locked", "--bundle", path, context) == here.build(context)
    skopeo("copy", f"oci-archive:{path}:{plain_registry.host}/{name}:1", f"oci:{tmp_path / 'out'}:x")


def test_named_contexts_and_contexts_from_elsewhere(
    here: Machine, island: Machine, web: Web, context: Path, tmp_path: Path
) -> None:
    commit = web.repository("r", "printf 'FROM start\\nCOPY --from=more g /g\\nCOPY . /c/\\n' >Dockerfile; echo 1 >g")
    tag(here, "base:1", {"base": b"base"})
    start, more = ["--build-context", "start=docker-image://base:1"], ["--build-context", f"more={web.url}/r.git"]
    main = f"{web.url}/r.git#{commit}"
    path = here.bundle(tmp_path / "x.tar", *start, *more, main)
    wanted = here.build(*start, *more, main)
    web.asked.clear()
    assert island.build("--offline", "--bundle", path, *start, *more, main) == wanted
    # The bundle knows what the name of an image context stands for.
    assert Machine(tmp_path / "third").build("--offline", "--bundle", path, *more, main) == wanted
    write_context(context, f"FROM start\nCOPY --from=more g /g\nADD {main} /c/\n")
    assert island.build("--offline", "--bundle", path, *more, context)
    assert not web.asked


def test_a_layout_on_this_machine_comes_along(here: Machine, island: Machine, context: Path, tmp_path: Path) -> None:
    write_context(context, "FROM scratch\nCOPY Dockerfile /\n")
    here.build("-o", f"type=oci,tar=false,dest={tmp_path / 'layout'}", context)
    write_context(context, "FROM start\nCOPY Dockerfile /x\n")
    words = ["--build-context", f"start=oci-layout://{tmp_path / 'layout'}"]
    path = here.bundle(tmp_path / "x.tar", *words, context)
    wanted = here.build(*words, context)
    assert island.build("--offline", "--bundle", path, context) == wanted


def test_a_bundle_comes_before_the_store_and_the_network(home: Home, island: Machine) -> None:
    tag(island, "base:1", {"base": b"another"})
    home.web.asked.clear()
    assert island.build("--bundle", home.bundle, home.context) == home.digest
    assert not home.web.asked
    # It counts for the builds that name it: the store's own image and the network are what they were.
    with Store.open(str(island.store)) as store:
        assert [name for name, _ in store.tags.all()] == ["docker.io/library/base:1"]
    assert "other:2" in island.refused("--offline", home.context, status=4)


def test_a_bundle_in_the_context_is_no_part_of_it(home: Home, island: Machine, context: Path) -> None:
    write_context(context, "FROM base:1\nCOPY . /c/\n", {"rbuild.lock": "rbuild-lock 1\n"})
    wanted = home.machine.build(context)
    run = home.machine("bundle", "-o", context / "x.tar", context)
    assert "warning: " in run.stderr
    assert "image docker.io/library/base:1" in run.stderr
    assert "is not locked" in run.stderr
    assert island.build("--offline", "--bundle", context / "x.tar", context) == wanted
    assert home.machine.build(context) != wanted


def test_what_a_bundle_lacks_is_fetched_or_refused(home: Home, island: Machine, context: Path) -> None:
    (home.web.root / "new.bin").write_text("new")
    write_context(context, f"FROM base:1\nADD {home.web.url}/new.bin /\n")
    said = island.refused("--offline", "--bundle", home.bundle, context, status=4)
    assert "new.bin" in said
    assert "Dockerfile:2" in said
    island.build("--bundle", home.bundle, context)


def test_a_checksum_that_a_bundle_does_not_have(home: Home, island: Machine, context: Path) -> None:
    url, zeros = home.web.url, "0" * 64
    write_context(context, f"FROM scratch\nADD --checksum=sha256:{zeros} {url}/tool.bin /\n")
    assert "tool.bin" in island.refused("--offline", "--bundle", home.bundle, context, status=4)
    write_context(context, f"FROM scratch\nADD --checksum={zeros[:40]} {url}/r.git#main:d /\n")
    assert "r.git" in island.refused("--offline", "--bundle", home.bundle, context, status=4)
    write_context(context, f"FROM scratch\nADD --checksum={home.commit[:9]} {url}/r.git#main:d /\n")
    island.build("--offline", "--bundle", home.bundle, context)


def test_a_thin_bundle_holds_only_what_is_new(home: Home, island: Machine, context: Path, tmp_path: Path) -> None:
    text = (home.context / "Dockerfile").read_text()
    (home.web.root / "newer.bin").write_text("a newer tool")
    write_context(context, text.replace("tool.bin", "newer.bin"), {"mark": "1"})
    thin = home.machine.bundle(tmp_path / "thin.tar", "--since", home.bundle, context)
    wanted = home.machine.build(context)
    assert here_stands(thin) == f"stands on the bundle {listed(thin)['base']}"
    assert listed(thin)["base"] == listed(home.bundle)["digest"]
    old, new = set(blob_names(home.bundle)), set(blob_names(thin))
    assert old & new == {hashlib.sha256(b"{}").hexdigest()}
    assert len(new) == 5  # the document and its manifest, the file and its, the empty object

    said = island.refused("--offline", "--bundle", thin, context)
    assert said.partition("blob sha256:")[2].partition(" ")[0] in old
    assert "give that one too" in said
    assert listed(home.bundle)["digest"] in said
    for order in ((home.bundle, thin), (thin, home.bundle)):
        words = [word for path in order for word in ("--bundle", path)]
        assert Machine(tmp_path / order[0].stem).build("--offline", *words, context) == wanted


def test_a_thin_bundle_stands_on_what_the_store_has(home: Home, island: Machine, context: Path, tmp_path: Path) -> None:
    thin = home.machine.bundle(tmp_path / "thin.tar", "--since", home.bundle, home.context)
    assert len(blob_names(thin)) == 3
    assert island.build("--offline", "--bundle", home.bundle, home.context) == home.digest
    assert island.build("--offline", "--no-cache", "--bundle", thin, home.context) == home.digest
    write_context(context, f"FROM other:2\nADD {home.web.url}/unused.bin /\n")
    assert "unused.bin" in island.refused("--offline", "--bundle", thin, context)


def here_stands(path: Path) -> str:
    return Machine(path)("bundle", "--list", path).stdout.splitlines()[-1]


def blob_names(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return [name.rpartition("/")[2] for name in archive.getnames() if name.startswith("blobs/sha256/")]


def test_an_altered_bundle_ends_the_build_before_anything(home: Home, island: Machine, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(home.bundle.read_bytes().replace(b"tooltool", b"tooltooL", 1))
    wanted = f"bundle {path}: blob sha256:{hashlib.sha256(b'tool' * 50).hexdigest()} is altered"
    assert wanted in island.refused("--bundle", path, home.context)
    assert wanted in island("bundle", "--list", path, status=1).stderr
    assert not list((island.store / "blobs/sha256").iterdir())


def test_credentials_stay_at_home(here: Machine, island: Machine, web: Web, context: Path, tmp_path: Path) -> None:
    (web.root / "a").write_text("1")
    with_password = web.url.replace("://", "://user:hush@")
    write_context(context, f"FROM scratch\nADD {with_password}/a /\n")
    path = here.bundle(tmp_path / "x.tar", context)
    assert b"hush" not in path.read_bytes()
    island.build("--offline", "--bundle", path, context)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "bundle needs -o DEST"),
        (["-o", "x.tar.gz"], "a bundle is not compressed"),
        (["-o", "Dockerfile"], "-o Dockerfile: a file"),
        (["-o", "."], "the directory is not empty"),
        (["--json"], "--json is for --list"),
        (["--list", "x.tar", "-o", "y.tar"], "--list reads a bundle"),
        (["-o", "x.tar", "--tag", "a"], "no such option: --tag"),
    ],
)
def test_words_that_do_not_fit(
    here: Machine, context: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    write_context(context, "FROM scratch\nCOPY Dockerfile /\n")
    monkeypatch.chdir(context)
    assert said in here("bundle", *words, status=2).stderr
    assert os.listdir(context) == ["Dockerfile"]


def test_a_bundle_that_cannot_be_made_leaves_nothing(here: Machine, web: Web, context: Path, tmp_path: Path) -> None:
    write_context(context, f"FROM scratch\nADD {web.url}/none /\n")
    run = here("bundle", "-o", tmp_path / "out" / "x.tar", context, status=4)
    assert "Dockerfile:2" in run.stderr
    (web.root / "none").write_text("1")
    assert "make the directory first" in here("bundle", "-o", tmp_path / "out" / "x.tar", context, status=1).stderr
    assert not (tmp_path / "out").exists()
