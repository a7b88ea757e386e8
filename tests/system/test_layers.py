"""What whole builds put into layers, and what they leave alone; in each tier where a step runs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.sandbox.tiers import Tier
from builder.sources.archive import load
from builder.store.store import Store
from tests.support import tars
from tests.support.builds import build_busybox, write_context
from tests.support.command import Rbuild
from tests.support.layouts import Read, make_layout, read_layout
from tests.support.registries import Registry
from tests.support.tools import need_tool

EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"  # 1024 zero bytes, known to all
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # version 2: no uid of any host


@pytest.fixture
def isolated(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> Tier:
    """All builds of the test run in this tier."""
    monkeypatch.setenv("RBUILD_ISOLATION", tier)
    return tier


def image(rbuild: Rbuild, context: Path, *options: str) -> Read:
    """The image that a build gives."""
    layout = context.with_name(f"{context.name}.layout")
    subprocess.run(["rm", "-rf", layout], check=True)
    rbuild(*options, "-o", f"type=oci,dest={layout},tar=false", context)
    return read_layout(layout)


def steps(directory: Path, *lines: str, files: Mapping[str, str] = {}) -> Path:
    return write_context(directory, "\n".join(["FROM busybox", *lines, ""]), files)


UNCHANGED = [
    "true",
    "chmod 644 /f && chmod 755 /d",
    "touch /f-2 && rm /f-2",
    "mv /f /g && mv /g /f",
    "cat /f >/g && cat /g >/f && rm /g && touch -d '1970-01-01 00:00:00' /f",
    "rm -r /d && mkdir /d && echo in >/d/in",
    "echo x >/etc/hosts && echo y >>/etc/resolv.conf && echo z >/dev/null",
]


def test_a_step_that_changes_nothing_makes_no_layer_bytes(
    isolated: Tier, rbuild: Rbuild, base: str, tmp_path: Path
) -> None:
    """D-T3, D2: not by mount points, copies up, files that come and go, or the two files of the host."""
    made = steps(
        tmp_path / "c", "COPY f /f", "RUN mkdir /d && echo in >/d/in", *(f"RUN {command}" for command in UNCHANGED),
        files={"f": "f\n"},
    )  # fmt: skip

    read = image(rbuild, made)

    diff_ids = read.config["rootfs"]["diff_ids"]
    assert diff_ids[-len(UNCHANGED) :] == [EMPTY] * len(UNCHANGED)
    assert len({layer["digest"] for layer in read.manifest["layers"][-len(UNCHANGED) :]}) == 1


def test_a_base_with_the_same_layer_twice_runs_steps(isolated: Tier, rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """As every image with two steps that change nothing has: overlayfs refuses a directory that is stacked twice."""
    rbuild("-t", "still", steps(tmp_path / "still", "RUN true", "COPY f /f", "RUN :", files={"f": "f\n"}))

    read = image(rbuild, write_context(tmp_path / "c", "FROM still\nRUN test -f /f && echo x >/x\n"))

    assert read.config["rootfs"]["diff_ids"].count(EMPTY) == 2


@pytest.mark.parametrize("told", [0, 1])
def test_a_base_whose_history_does_not_tell_of_each_layer(
    rbuild: Rbuild, context: Path, tmp_path: Path, told: int
) -> None:
    """The history is optional (image-spec, config.md)."""
    plain = [tars.archive(tars.file(name, b"x")) for name in (b"a", b"b")]
    layers = [("sha256:" + hashlib.sha256(tar).hexdigest(), gzip.compress(tar)) for tar in plain]
    make_layout(tmp_path / "base", layers, history=({"created_by": "a"},) * told)
    write_context(context, "FROM base\nCOPY f /f\n", {"f": "f\n"})

    read = image(rbuild, context, "--build-context", f"base=oci-layout://{tmp_path / 'base'}:test")

    words = [entry.get("created_by", "").partition(" ")[0] for entry in read.config["history"]]
    assert words == [*["a"] * told, *[""] * (2 - told), "COPY"]


CHANGED = {
    "touch -d '1980-01-01 00:00:01' /f": ["f"],
    "chmod 600 /f": ["f"],
    "chmod 700 /d": ["d"],
    "touch -d '1980-01-01 00:00:02' /d": ["d"],
    "touch -h -d '1980-01-01 00:00:03' /link": ["link"],
    "echo more >>/f": ["f"],
    "rm /f": [".wh.f"],
}


def test_a_step_that_changes_one_thing_makes_that_entry(
    isolated: Tier, rbuild: Rbuild, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times and modes alone, too."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    made = steps(
        tmp_path / "c", "COPY f /f", "RUN mkdir /d && echo in >/d/in && ln -s f /link",
        *(f"RUN {command}" for command in CHANGED),
        files={"f": "f\n"},
    )  # fmt: skip

    read = image(rbuild, made)

    assert [tars.names(tar) for tar in read.tars[-len(CHANGED) :]] == list(CHANGED.values())


def test_removing_what_is_mounted_fails_as_elsewhere(isolated: Tier, rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """D-T3: /etc/resolv.conf and /etc/hosts are mounts while a step runs."""
    run = rbuild("build", steps(tmp_path / "c", "RUN rm /etc/resolv.conf"), status=1)

    assert "Resource busy" in run.stderr or "Device or resource busy" in run.stderr


def test_a_hit_gives_the_bytes_of_a_miss(isolated: Tier, rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """F-T2: all blobs, when every step runs, when some do, when none does; deletions and replacements among them."""
    lines = [
        "COPY f /f",
        "RUN mkdir -p /d/e && echo 1 >/d/e/1 && echo 2 >/d/e/2 && ln /d/e/1 /d/hard && mkfifo /d/fifo",
        "RUN rm -r /d/e && mkdir /d/e && echo 3 >/d/e/3 && rm /f",
        "COPY f /d/e/2",
        "RUN rm /d/hard && echo 4 >/d/e/2",
    ]
    some = Rbuild(tmp_path / "some")
    build_busybox(some, Path(need_tool("busybox")), tmp_path / "busybox-again")
    files = {"f": "f\n"}
    image(some, steps(tmp_path / "part", *lines[:3], files=files))

    missed = image(rbuild, steps(tmp_path / "all", *lines, files=files))
    partly = image(some, steps(tmp_path / "all", *lines, files=files))
    hit = image(rbuild, steps(tmp_path / "all", *lines, files=files))
    again = image(rbuild, steps(tmp_path / "all", *lines, files=files), "--no-cache")
    some.clean()

    assert missed.blobs == partly.blobs == hit.blobs == again.blobs


@pytest.mark.parametrize("form", ["oci", "docker"])
def test_an_archive_is_byte_stable(isolated: Tier, form: str, rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """D-T5: twice from the cache, once without."""
    made = steps(tmp_path / "c", "COPY . /", "RUN echo 1 >/one && ln /one /two", files={"f": "f\n", "g": "g\n"})
    digests = set()
    for number, options in enumerate([[], [], ["--no-cache"]]):
        rbuild(*options, "-t", "a:1", "-o", f"type={form},dest={tmp_path / str(number)}", made)
        digests.add(hashlib.sha256((tmp_path / str(number)).read_bytes()).hexdigest())

    assert len(digests) == 1
    with tarfile.open(tmp_path / "0") as archive:
        members = [member for member in archive if member.isreg()]
    assert {member.mtime for member in members} == {0}
    blobs = [member.name for member in members if member.name.startswith("blobs/")]
    assert blobs == sorted(blobs)


def links(tar: bytes) -> set[frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for member in tars.describe(tar):
        if member[1] == b"1":
            groups.setdefault(str(member[7]), {str(member[7])}).add(str(member[0]))
    return {frozenset(group) for group in groups.values()}


FARM = ["farm/git", *(f"farm/git-{n}" for n in range(100))]


def test_hard_links_stay_links_on_every_way(isolated: Tier, rbuild: Rbuild, base: str, tmp_path: Path) -> None:
    """F-T3: ADD tar, RUN, COPY --from of a farm of links like git-core's; each holds its content once.

    Two mounts whose files have equal inode numbers are two stages' trees here: a link is known by device and inode.
    """
    archive = tars.archive(
        tars.directory(b"farm/"), tars.file(b"farm/git", b"x" * 100_000, mode=0o755),
        *(tars.hardlink(name.encode(), b"farm/git", mode=0o755) for name in FARM[1:]),
    )  # fmt: skip
    made = write_context(
        tmp_path / "c",
        "FROM busybox AS add\nADD farm.tar /\n"
        "FROM busybox AS run\nRUN mkdir /farm && head -c 100000 /dev/zero >/farm/git && "
        "i=0; while [ $i -lt 100 ]; do ln /farm/git /farm/git-$i; i=$((i+1)); done\n"
        "FROM scratch\nADD farm.tar /\nCOPY --from=add /farm /added/farm\nCOPY --from=run / /ran/\n",
    )
    (made / "farm.tar").write_bytes(archive)

    added, copied, ran = image(rbuild, made).tars

    assert links(added) == {frozenset(FARM)}
    assert links(copied) == {frozenset(f"added/{name}" for name in FARM)}
    assert frozenset(f"ran/{name}" for name in FARM) in links(ran)
    assert len(added) < 300_000 and len(copied) < 300_000


def program(root: Path, name: str) -> None:
    """A program of this machine with the libraries that it names, at their own places."""
    path = need_tool(name)
    listed = subprocess.run([need_tool("ldd"), path], capture_output=True, text=True, check=True).stdout
    for file in [path, *re.findall(r"(/\S+) \(0x", listed)]:
        copy = root / file.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(Path(file).read_bytes())
        copy.chmod(0o755)


def capabilities(tar: bytes) -> dict[str, bytes]:
    key = "SCHILY.xattr.security.capability"
    return {
        str(member[0]): os.fsencode(dict(member[9])[key]) for member in tars.describe(tar) if key in dict(member[9])
    }


def test_capabilities_survive_all_the_way(
    isolated: Tier, rbuild: Rbuild, base: str, plain_registry: Registry, tmp_path: Path
) -> None:
    """F-T4: setcap in a step, the next step, COPY --from, push, pull, a step on the pulled image."""
    name = f"{plain_registry.host}/layers/capable-{isolated}:1"
    shown = "RUN getcap /ping >/seen"
    made = steps(
        tmp_path / "c", "COPY tools /", "ENV PATH=/usr/sbin:/sbin:/bin",
        "RUN cp /bin/busybox /ping && setcap cap_net_bind_service+ep /ping", shown,
        "FROM busybox", "COPY --from=0 /ping /ping", "COPY tools /", "ENV PATH=/usr/sbin:/sbin:/bin", shown,
    )  # fmt: skip
    program(made / "tools", "setcap")
    program(made / "tools", "getcap")
    read = image(rbuild, made)
    rbuild("-t", name, "--push", made)
    other = Rbuild(tmp_path / "other")
    after = image(
        other, write_context(tmp_path / "after", f"FROM {name}\nRUN getcap /ping >/after\nRUN chmod 711 /ping\n")
    )
    other.clean()

    assert [found for tar in read.tars if (found := capabilities(tar))] == [{"ping": CAPABILITY}]
    assert capabilities(after.tars[-1]) == {"ping": CAPABILITY}
    for tar in (read.tars[-1], after.tars[-2]):
        assert b"/ping cap_net_bind_service=ep" in tar


def test_a_sparse_lastlog_is_a_diagnostic_and_takes_no_room(
    isolated: Tier, rbuild: Rbuild, base: str, tmp_path: Path
) -> None:
    """F-T5: as useradd -u 1885580785 makes it; the error names the file and the cure, and nothing of it is written."""
    made = steps(tmp_path / "c", f"RUN mkdir -p /var/log && truncate -s {1885580785 * 292} /var/log/lastlog")
    before = allocated(rbuild.store)

    run = rbuild("build", made, status=1)

    assert "var/log/lastlog" in run.stderr and "useradd" in run.stderr
    assert allocated(rbuild.store) - before < 10 << 20


def allocated(directory: Path) -> int:
    listed = subprocess.run(["du", "-s", "-B1", directory], capture_output=True, text=True, check=False).stdout
    return int(listed.split()[0])


def test_what_a_base_says_of_itself_is_untouched(isolated: Tier, rbuild: Rbuild, tmp_path: Path) -> None:
    """D-T2: type, digest and size of its layers, their bytes, and its history with all that it holds.

    Annotations of a layer's descriptor tell where it came from, and are not kept.
    """
    layout = odd_base(tmp_path / "base", Path(need_tool("busybox")).read_bytes())
    with Store.open(str(rbuild.store)) as store:
        load(str(layout), store, name="odd:1")
    theirs = read_layout(layout)

    ours = image(rbuild, write_context(tmp_path / "c", 'FROM odd:1\nRUN ["/busybox", "touch", "/x"]\n'))

    kept = [{key: layer[key] for key in ("mediaType", "digest", "size")} for layer in theirs.manifest["layers"]]
    assert ours.manifest["layers"][:-1] == kept
    assert json.dumps(ours.config["history"][:-1]) == json.dumps(theirs.config["history"])
    assert ours.config["rootfs"]["diff_ids"][:-1] == theirs.config["rootfs"]["diff_ids"]
    for layer in theirs.manifest["layers"]:
        assert ours.blobs[layer["digest"]] == theirs.blobs[layer["digest"]]


def odd_base(layout: Path, busybox: bytes) -> Path:
    """Annotations of a layer, odd times and fields of later versions in its history, a compressor of its own."""
    tar = tars.archive(tars.file(b"busybox", busybox, mode=0o755, mtime=10**9), tars.file(b"./odd//name", mtime=5))
    layout.mkdir()
    make_layout(layout, [("sha256:" + hashlib.sha256(tar).hexdigest(), gzip.compress(tar, 1, mtime=123))])
    history = [
        {"created": "2001-02-03T04:05:06.123456789+07:00", "created_by": "café <&> \t", "later": {"b": 1, "a": [None]}},
        {"author": "x", "empty_layer": True},
    ]
    return rewritten(layout, history)


def rewritten(layout: Path, history: list[dict[str, object]]) -> Path:
    read = read_layout(layout)
    config = json.dumps({**read.config, "history": history}).encode()
    described = {**read.manifest["config"], "digest": put(layout, config), "size": len(config)}
    layers = [{**layer, "annotations": {"b": "2", "a": "1"}} for layer in read.manifest["layers"]]
    manifest = json.dumps({**read.manifest, "config": described, "layers": layers}).encode()
    index = json.loads((layout / "index.json").read_bytes())
    index["manifests"][0] |= {"digest": put(layout, manifest), "size": len(manifest)}
    (layout / "index.json").write_text(json.dumps(index))
    return layout


def put(layout: Path, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return f"sha256:{digest}"


def implied_base(rbuild: Rbuild, room: Path, name: str, *layers: bytes) -> None:
    """As umoci and other programs write layers: home/user/x without home/user/. And with no history."""
    busybox = tars.file(b"busybox", Path(need_tool("busybox")).read_bytes(), mode=0o755)
    made = [("sha256:" + hashlib.sha256(tar).hexdigest(), gzip.compress(tar, mtime=0)) for tar in layers]
    first = tars.archive(busybox)
    (room / name).mkdir()
    make_layout(room / name, [("sha256:" + hashlib.sha256(first).hexdigest(), gzip.compress(first, mtime=0)), *made])
    with Store.open(str(rbuild.store)) as store:
        load(str(room / name), store, name=f"{name}:1")


def home(mode: int, owner: int) -> bytes:
    return tars.archive(
        tars.directory(b"home/"), tars.directory(b"home/user/", mode=mode, uid=owner, gid=owner, mtime=5)
    )


IMPLIES = tars.archive(tars.file(b"home/user/x", b"x"))


def attributes(read: Read, name: str) -> list[tuple[object, ...]]:
    """Mode and owners of this name in each layer that has it, the lowest first."""
    return [tuple(member[2:5]) for tar in read.tars for member in tars.describe(tar) if member[0] == name]


def content(tar: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        file = members.extractfile(name)
        assert file is not None
        return file.read()


def test_a_directory_that_a_layer_only_implies_stays_as_it_is(isolated: Tier, rbuild: Rbuild, tmp_path: Path) -> None:
    """For what a step sees and what it writes; also where two images share the layer that implies."""
    implied_base(rbuild, tmp_path, "one", home(0o700, 1000), IMPLIES)
    implied_base(rbuild, tmp_path, "two", home(0o711, 7), IMPLIES)
    seen = 'RUN ["/busybox", "sh", "-c", "/busybox stat -c %a:%Y /home/user >/seen"]\n'

    one, two = (
        image(
            rbuild,
            write_context(tmp_path / f"c-{name}", f'FROM {name}:1\n{seen}RUN ["/busybox", "touch", "/home/user/y"]\n'),
        )
        for name in ("one", "two")
    )

    assert attributes(one, "home/user") == [(0o700, 1000, 1000)] * 2
    assert attributes(two, "home/user") == [(0o711, 7, 7)] * 2
    assert [content(read.tars[-2], "seen") for read in (one, two)] == [b"700:5\n", b"711:5\n"]


def test_what_a_layer_only_implies_is_in_no_layer_that_does_not_change_it(
    isolated: Tier, rbuild: Rbuild, tmp_path: Path
) -> None:
    implied_base(rbuild, tmp_path, "one", home(0o700, 1000), IMPLIES)
    lines = [
        "FROM one:1",
        'RUN ["/busybox", "touch", "/else"]',
        "COPY f /home/user/f",
        "WORKDIR /home/user",
        "",
    ]

    read = image(rbuild, write_context(tmp_path / "c", "\n".join(lines), {"f": "f"}))

    assert [tars.names(tar) for tar in read.tars[-3:]] == [["else"], ["home", "home/user", "home/user/f"], []]
    assert attributes(read, "home/user") == [(0o700, 1000, 1000)] * 2


def test_copies_and_exports_show_what_a_layer_only_implies(rbuild: Rbuild, tmp_path: Path) -> None:
    implied_base(rbuild, tmp_path, "one", home(0o700, 1000), IMPLIES)
    out = tmp_path / "out.tar"

    copied = image(rbuild, write_context(tmp_path / "c", "FROM scratch\nCOPY --from=one:1 /home /copied\n"))
    rbuild("-o", f"type=tar,dest={out}", write_context(tmp_path / "d", "FROM one:1\n"))

    assert attributes(copied, "copied/user") == [(0o700, 1000, 1000)]
    (user,) = [member for member in tars.describe(out.read_bytes()) if member[0] == "home/user"]
    assert user[2:5] == (0o700, 1000, 1000)
