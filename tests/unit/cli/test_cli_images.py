"""images, inspect, rm, tag, load, parse, plan, doctor, version: what they print, and their faults."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from builder import __version__
from builder.errors import SandboxError
from tests.support.fake_rooms import Library, Store, rbuild, rooms

if TYPE_CHECKING:
    from pathlib import Path

LIBRARY = "docker.io/library/"


@pytest.fixture
def store() -> Store:
    store = Store()
    store.add(LIBRARY + "golang:1.21-alpine")
    store.add(LIBRARY + "client:latest", created="", layer_size=10)
    return store


def test_images_is_a_table(store: Store) -> None:
    short = {name: each.digest[7:19] for name, each in store.tags.all()}
    ran = rbuild("images", doors=rooms(store=store))

    assert ran.out.splitlines() == [
        "REFERENCE           DIGEST        SIZE    CREATED",
        f"client:latest       {short[LIBRARY + 'client:latest']}  {ran.out.splitlines()[1].split()[2]} B",
        f"golang:1.21-alpine  {short[LIBRARY + 'golang:1.21-alpine']}  1.5 MB  2024-05-01 10:20:30",
    ]


def test_an_empty_store_has_a_header_only() -> None:
    assert rbuild("images").out.split() == ["REFERENCE", "DIGEST", "SIZE", "CREATED"]
    assert rbuild("images", "--json").out == "[]\n"


def test_images_as_json(store: Store) -> None:
    rows = json.loads(rbuild("images", "--json", doors=rooms(store=store)).out)

    assert [row["reference"] for row in rows] == [LIBRARY + "client:latest", LIBRARY + "golang:1.21-alpine"]
    assert rows[1]["digest"] == store.tags.kept[LIBRARY + "golang:1.21-alpine"].digest
    assert set(rows[0]) == {"reference", "digest", "size", "created"}


def test_inspect_shows_config_and_manifest(store: Store) -> None:
    """By name, by digest, and by the short digest that the table shows."""
    digest = store.tags.kept[LIBRARY + "golang:1.21-alpine"].digest
    shown = [
        rbuild("inspect", name, doors=rooms(store=store)).out
        for name in ("golang:1.21-alpine", digest, digest[7:19], digest[7:], "golang@" + digest)
    ]

    assert len(set(shown)) == 1
    document = json.loads(shown[0])
    assert document["reference"] == LIBRARY + "golang:1.21-alpine"
    assert document["config"]["os"] == "linux"
    assert document["manifest"]["schemaVersion"] == 2


def test_inspect_of_several_is_a_list(store: Store) -> None:
    ran = rbuild("inspect", "client", "golang:1.21-alpine", doors=rooms(store=store))

    assert len(json.loads(ran.out)) == 2


def test_tag_and_rm(store: Store) -> None:
    assert rbuild("tag", "client", "mine:v1", doors=rooms(store=store)).status == 0
    assert store.tags.kept[LIBRARY + "mine:v1"] == store.tags.kept[LIBRARY + "client:latest"]

    assert rbuild("rm", "client", doors=rooms(store=store)).out == f"removed {LIBRARY}client:latest\n"
    assert LIBRARY + "client:latest" not in store.tags.kept


def test_rm_removes_all_or_nothing(store: Store) -> None:
    ran = rbuild("rm", "client", "nowhere", doors=rooms(store=store))

    assert ran.status == 1
    assert ran.err.startswith(f"error: no image {LIBRARY}nowhere:latest in the store")
    assert LIBRARY + "client:latest" in store.tags.kept


@pytest.mark.parametrize(
    ("line", "status", "error"),
    [
        ("inspect nowhere", 1, "no image docker.io/library/nowhere:latest in the store"),
        ("inspect sha256:000000000000", 1, "no image with digest sha256:000000000000"),
        ("inspect", 2, "inspect needs REF..."),
        ("rm UPPER", 2, "not an image reference: 'UPPER'"),
        ("tag client a@sha256:1", 2, "a tag cannot carry a digest"),
        ("tag client", 2, "tag needs SRC DST"),
        ("images extra", 2, "unexpected argument: extra"),
        ("images --nope", 2, "no such option: --nope"),
        ("load nowhere.tar", 2, "nowhere.tar: there is no such file"),
        ("parse --target x", 2, "no such option: --target"),
        ("plan --squash", 2, "--squash is not supported"),
        ("version now", 2, "unexpected argument: now"),
    ],
)
def test_faults(store: Store, line: str, status: int, error: str) -> None:
    ran = rbuild(*line.split(), doors=rooms(store=store))

    assert (ran.status, ran.out) == (status, "")
    assert error in ran.err


def test_load_prints_the_tags(tmp_path: Path) -> None:
    (tmp_path / "image.tar").write_text("")

    assert rbuild("load", str(tmp_path / "image.tar")).out == f"loaded:{tmp_path}/image.tar\n"


def test_parse_and_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same line, with another first word, shows the early steps of a build."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    library = Library()

    assert rbuild("parse").out == "Dockerfile: FROM scratch\n"
    assert rbuild("parse", "-f", "./Dockerfile", ".").out == "Dockerfile: FROM scratch\n"
    assert rbuild("plan", "--target", "client", ".", doors=rooms(library)).out == "plan of client\n"
    assert library.requests == []


def test_version() -> None:
    assert rbuild("version").out == rbuild("--version").out == f"rbuild {__version__}\n"


def no_subuids(requested: str | None, needs_run: bool, store: str | None) -> str:
    if requested == "userns":
        raise SandboxError("newuidmap: exit 1", hint="add a line to /etc/subuid")
    return requested or "single"


def nothing_at_all(requested: str | None, needs_run: bool, store: str | None) -> str:
    if requested != "none":
        raise SandboxError("unshare(CLONE_NEWUSER): Operation not permitted")
    return "none"


def test_doctor() -> None:
    ran = rbuild("doctor", doors=rooms(choose_tier=no_subuids))

    assert ran.status == 0
    assert ran.out == (
        "tier: single\n"
        "  userns  no   RUN with all ids: newuidmap and a subuid range, or root\n"
        "               newuidmap: exit 1\n"
        "               hint: add a line to /etc/subuid\n"
        "  single  yes  RUN as one id: an unprivileged user namespace\n"
        "  none    yes  builds without RUN\n"
        "platforms of RUN:\n"
        "  linux/arm64     yes  by /q\n"
        "  linux/s390x     no\n"
        "  hint: apt-get install qemu-user-static runs those of other machines\n"
    )


def test_doctor_fails_where_no_run_works() -> None:
    ran = rbuild("doctor", "--json", doors=rooms(choose_tier=nothing_at_all))

    assert ran.status == 1
    assert json.loads(ran.out)["tier"] == "none"
    assert [tier["works"] for tier in json.loads(ran.out)["tiers"]] == [False, False, True]
