"""Pushing to real registries: what arrives is what was built, and nothing is sent that is there already."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.oci.reference import parse_reference
from builder.store.store import Store
from tests.support.authority import Authority
from tests.support.command import Rbuild
from tests.support.faulty import Faulty, Rules, Upstream
from tests.support.images import put_image
from tests.support.origin import Origin
from tests.support.registries import PASSWORD, USER, Registry
from tests.support.tools import need_tool


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text('FROM scratch\nCOPY small /small\nCOPY large /large\nCMD ["/small"]\n')
    (folder / "small").write_text("small\n")
    (folder / "large").write_bytes(random.Random("large").randbytes(1_500_000))
    return folder


def uploads(registry: Registry, repository: str) -> list[str]:
    """Requests that carried bytes of blobs."""
    asked = [line for line in registry.requests() if f"/{repository}/blobs/uploads/" in line]
    return [line for line in asked if line.startswith(("PUT", "PATCH"))]


def skopeo(*arguments: str) -> Any:
    run = subprocess.run([need_tool("skopeo"), *arguments], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def digest_of(rbuild: Rbuild, name: str) -> str:
    rows = json.loads(rbuild("images", "--json").stdout)
    return next(row["digest"] for row in rows if row["reference"] == name)


def test_what_was_built_is_in_the_registry_once(rbuild: Rbuild, context: Path, plain_registry: Registry) -> None:
    """G-T2: a second push sends no byte of a blob, and no manifest."""
    name = f"{plain_registry.host}/push/built:v1"
    rbuild("-t", name, "--push", context)
    digest = digest_of(rbuild, name)
    found = skopeo("inspect", "--tls-verify=false", f"docker://{name}")
    sent = uploads(plain_registry, "push/built")

    assert found["Digest"] == digest
    assert len(sent) == 3
    again = rbuild("push", name)
    assert again.stdout == f"{name}@{digest}\n"
    assert "3 there already" in again.stderr
    assert uploads(plain_registry, "push/built") == sent
    assert not [line for line in plain_registry.requests()[-5:] if line.startswith("PUT")]


def test_another_repository_of_the_registry_lends_what_it_has(
    rbuild: Rbuild, context: Path, plain_registry: Registry
) -> None:
    here, there = f"{plain_registry.host}/push/lender:1", f"{plain_registry.host}/push/borrower:1"
    rbuild("-t", here, "--push", context)
    told = rbuild("push", here, there).stderr

    assert "3 mounted from another repository" in told
    assert not uploads(plain_registry, "push/borrower")
    assert skopeo("inspect", "--tls-verify=false", f"docker://{there}")["Digest"] == digest_of(rbuild, here)


def test_several_platforms_are_pushed_with_their_index(rbuild: Rbuild, context: Path, plain_registry: Registry) -> None:
    """G-T4: an index has the platforms that were asked for and nothing else."""
    name = f"{plain_registry.host}/push/several:v1"
    rbuild("--platform", "linux/amd64,linux/arm64", "-o", f"type=registry,name={name}", context)
    index = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}")

    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    rbuild("copy", "--platform", "linux/arm64", name, f"{plain_registry.host}/push/one:arm")
    one = rbuild("inspect", "--remote", f"{plain_registry.host}/push/one:arm")
    assert json.loads(one.stdout)["config"]["architecture"] == "arm64"


def test_push_by_digest_sets_no_tag(rbuild: Rbuild, context: Path, plain_registry: Registry) -> None:
    name = f"{plain_registry.host}/push/untagged"
    rbuild("-o", f"type=image,name={name},push=true,push-by-digest=true,name-canonical=true", context)
    row = json.loads(rbuild("images", "--json").stdout)[0]

    assert row["reference"] == f"{name}@{row['digest']}"
    answer = plain_registry.request("GET", f"/v2/push/untagged/manifests/{row['digest']}")
    assert answer.status == 200
    assert plain_registry.request("GET", "/v2/push/untagged/tags/list").status == 404


def test_an_index_of_images_that_were_built_apart(rbuild: Rbuild, context: Path, plain_registry: Registry) -> None:
    host = f"{plain_registry.host}/push/joined"
    for architecture in ("amd64", "arm64"):
        rbuild("--platform", f"linux/{architecture}", "-t", f"{host}:{architecture}", "--push", context)
    rbuild("rm", f"{host}:arm64")
    made = rbuild("manifest", "create", "--annotation", "a=b", f"{host}:all", f"{host}:amd64", f"{host}:arm64")
    rbuild("push", f"{host}:all")
    index = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{host}:all")

    assert made.stdout.startswith(f"{host}:all@sha256:")
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    assert index["annotations"] == {"a": "b"}
    rbuild("tag", f"{host}:amd64", "localhost/same:1")
    twice = rbuild("manifest", "create", f"{host}:no", f"{host}:amd64", "localhost/same:1", status=2)
    assert "are both for linux/amd64" in twice.stderr
    assert rbuild("ls-tags", host).stdout.split() == ["all", "amd64", "arm64"]
    assert json.loads(rbuild("ls-tags", "--json", host).stdout) == ["all", "amd64", "arm64"]


def test_copies_keep_digests_between_all_places(
    rbuild: Rbuild, context: Path, plain_registry: Registry, tmp_path: Path
) -> None:
    name = f"{plain_registry.host}/push/origin:1"
    rbuild("-t", name, "--push", "-q", context)
    digest = digest_of(rbuild, name)
    layout = f"oci-layout://{tmp_path}/layout:v9"
    places = [
        name,
        layout,
        f"{plain_registry.host}/push/back:1",
        "store://kept:1",
        f"{plain_registry.host}/push/last:1",
    ]
    for source, target in itertools.pairwise(places):
        assert rbuild("copy", source, target).stdout == f"{digest}\n", (source, target)
    found = skopeo("inspect", f"oci:{tmp_path}/layout:v9")

    assert found["Digest"] == digest
    assert not list((rbuild.store / "tmp").glob("*/copy*"))
    raw = rbuild("inspect", "--remote", "--raw", places[-1]).stdout
    assert raw == rbuild("inspect", "--raw", name).stdout


@pytest.mark.parametrize("words", ["push --each", "save -o /dev/null", "inspect"])
def test_of_several_images_the_one_without_the_platform_is_named(rbuild: Rbuild, context: Path, words: str) -> None:
    rbuild("-t", "localhost:1/one:1", "--platform", "linux/amd64", "-q", context)
    rbuild("-t", "localhost:1/two:1", "--platform", "linux/amd64,linux/arm64", "-q", context)
    named = ("--platform=linux/s390x", "localhost:1/one:1", "localhost:1/two:1")

    told = rbuild(*words.split(), *named, status=1).stderr
    assert "error: localhost:1/two:1: the image is not there for linux/s390x\n" in told


def test_no_name_has_the_digest_of_something_else(rbuild: Rbuild, context: Path) -> None:
    rbuild("-t", "localhost/exact:1", "-q", context)
    refused = rbuild("copy", "store://localhost/exact:1", f"store://kept@sha256:{'0' * 64}", status=2)

    assert digest_of(rbuild, "localhost/exact:1") in refused.stderr
    assert "kept" not in rbuild("images").stdout


def test_a_copy_within_a_registry_moves_no_bytes(rbuild: Rbuild, plain_registry: Registry) -> None:
    pushed = plain_registry.push("push/near", "1", {"file": b"near"})
    rbuild("copy", pushed.reference, f"{plain_registry.host}/push/nearer:2")
    asked = [line for line in plain_registry.requests() if "push/near" in line]

    assert not uploads(plain_registry, "push/nearer")
    assert not [line for line in asked if line.startswith("GET /v2/push/near/blobs")]
    assert plain_registry.request("HEAD", f"/v2/push/nearer/manifests/{pushed.digest}").status == 200


@pytest.mark.parametrize("kind", ["token", "tls"])
def test_registries_that_want_to_know_who(
    kind: str, rbuild: Rbuild, context: Path, request: pytest.FixtureRequest, authority: Authority, tmp_path: Path
) -> None:
    registry: Registry = request.getfixturevalue(f"{kind}_registry")
    name = f"{registry.host}/push/{kind}:v1"
    options = ["--tls-ca", str(registry.authority)] if registry.authority else ["--creds", f"{USER}:{PASSWORD}"]
    del authority, tmp_path
    rbuild("-t", name, context)
    rbuild("push", *options, name)

    assert registry.request("HEAD", "/v2/push/" + kind + "/manifests/v1").status == 200
    if kind != "tls":
        refused = rbuild("push", "--authfile", "/dev/null", "--creds", f"{USER}:wrong", name, status=3)
        assert registry.host in refused.stderr and "wrong" not in refused.stderr


def test_a_killed_push_goes_on_with_what_is_missing(rbuild: Rbuild, plain_registry: Registry) -> None:
    """G-T2: blobs that had arrived when the first push was killed are not sent again."""
    chance = random.Random("killed")
    with Store.open(str(rbuild.store)) as store:
        image = put_image(store, *({f"file{number}": chance.randbytes(300_000)} for number in range(6)))
        with Faulty(Upstream(plain_registry.host), 0, Rules(rate=0)) as proxy:
            proxy.delay = 0.15
            name = f"{proxy.host}/push/killed:v1"
            store.tags.set(str(parse_reference(name)), image.manifest)
            process = rbuild.start("push", name)
            wait_for(lambda: len(proxy.asked("PUT .*/blobs/uploads/")) >= 6)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            time.sleep(0.3)
            proxy.delay = 0
            arrived = [digest for digest in parts(image) if plain_registry.has_blob("push/killed", digest)]
            told = rbuild("push", name).stderr
        assert 0 < len(arrived) < 7
    assert f"{len(arrived)} there already" in told
    assert f"{7 - len(arrived)} sent" in told


def parts(image: Any) -> list[str]:
    document = json.loads(image.manifest_bytes)
    return [each["digest"] for each in (document["config"], *document["layers"])]


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


def test_a_tag_that_may_not_change(rbuild: Rbuild, context: Path) -> None:
    """Exit status 5, in the words of the registry; what is the same is no change."""
    with Faulty(Origin(immutable=True), 0, Rules(rate=0)) as proxy:
        name = f"{proxy.host}/push/fixed:v1"
        rbuild("-t", name, "--push", context)
        rbuild("push", name)
        rbuild("--label", "a=b", "-t", name, context)
        refused = rbuild("push", name, status=5).stderr
    assert f"{proxy.host}: PUT manifest push/fixed:v1: 412" in refused
    assert "PRECONDITION: tag v1 is immutable" in refused


def test_errors_of_the_command_line(rbuild: Rbuild, context: Path) -> None:
    """What cannot work is refused before anything is built."""
    assert "-t HOST/REPOSITORY:TAG" in rbuild("--push", context, status=2).stderr
    assert "has a tag" in rbuild("-o", "type=image,name=a:b,push=true,push-by-digest=true", context, status=2).stderr
    assert "--offline" in rbuild("--push", "--offline", "-t", "localhost:1/x", context, status=2).stderr
    assert "no image" in rbuild("push", "localhost:1/x:none", status=1).stderr
    assert "manifest create" in rbuild("manifest", "annotate", "a", "b", status=2).stderr
    assert "unknown kind of place" in rbuild("copy", "dir://x", "localhost:1/x", status=2).stderr


def test_a_digest_that_the_image_has_not(rbuild: Rbuild, context: Path) -> None:
    rbuild("-t", "localhost:1/x:v1", "-q", context)
    refused = rbuild("push", "localhost:1/x:v1", f"localhost:1/x@sha256:{'0' * 64}", status=2)
    assert "the image is sha256:" in refused.stderr


def test_cacheonly_keeps_steps_and_names_nothing(rbuild: Rbuild, context: Path) -> None:
    rbuild("-o", "type=cacheonly", "-t", "named", context)
    assert json.loads(rbuild("images", "--json").stdout) == []
    assert "2 cached" in rbuild("--load", "-t", "named", context).stderr
    assert len(json.loads(rbuild("images", "--json").stdout)) == 1
