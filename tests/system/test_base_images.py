"""Builds whose base images are in a registry: Debian's docker-registry, asked when the policy says so and only then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.builds import Build, build, write_context
from tests.support.command import Rbuild
from tests.support.registries import OCI_MANIFEST, PASSWORD, USER, Pushed, Registry, serving
from tests.support.schemas import faults

Asked = Callable[[], list[str]]


@pytest.fixture
def asked(plain_registry: Registry) -> Asked:
    """What the registry was asked for since the last look: `GET manifests/1`, `GET layer`, …"""
    seen = len(plain_registry.requests())

    def look() -> list[str]:
        nonlocal seen
        new, seen = plain_registry.requests()[seen:], len(plain_registry.requests())
        return [" ".join((line.split()[0], "/".join(line.split("/")[-2:]))) for line in new]

    return look


def made(rbuild: Rbuild, context: Path, *words: str | Path, status: int = 0) -> Build:
    return build(rbuild, "--isolation=none", "--platform=linux/amd64", *words, context, status=status)


def layers_of(rbuild: Rbuild, name: str) -> list[str]:
    document = json.loads(rbuild("inspect", name).stdout)
    return [layer["digest"] for layer in document["manifest"]["layers"]]


def blobs(rbuild: Rbuild) -> set[str]:
    return {f"sha256:{path.name}" for path in (rbuild.store / "blobs/sha256").iterdir()}


def test_documents_come_first_and_layers_when_they_are_needed(
    rbuild: Rbuild, context: Path, plain_registry: Registry, asked: Asked
) -> None:
    """A plan asks for the documents; what the target does not need is not asked for at all."""
    base = plain_registry.push("first", "1", {"f": b"hello"})
    text = f"FROM {plain_registry.host}/none/of/this\nFROM {base.reference}\nCOPY --from={base.reference} f /g\n"
    write_context(context, text)
    asked()
    rbuild("plan", "--platform=linux/amd64", context)
    assert asked() == ["GET manifests/1", f"GET blobs/{base.config}"]
    assert not blobs(rbuild) & set(base.layers)
    told = made(rbuild, context, "-t", "out")
    assert asked() == [f"GET blobs/{base.layers[0]}"]
    assert {(event["digest"], event["current"], event["total"]) for event in told["StepTransfer"]} == {
        (base.layers[0], size := plain_size(rbuild, base.layers[0]), size)
    }
    assert layers_of(rbuild, "out")[0] == base.layers[0]


def plain_size(rbuild: Rbuild, digest: str) -> int:
    return (rbuild.store / "blobs/sha256" / digest.removeprefix("sha256:")).stat().st_size


def test_an_image_that_is_named_is_whole(rbuild: Rbuild, context: Path, plain_registry: Registry) -> None:
    """No step of this build touches a layer of its base; the image has them all the same."""
    base = plain_registry.push("whole", "1", {"a": b"1"}, {"b": b"2"})
    write_context(context, f"FROM {base.reference}\nENV A=b\n")
    told = made(rbuild, context, "-t", "out")
    assert set(base.layers) <= blobs(rbuild)
    assert told.steps("StepFinished")[-1] == f"FROM {base.reference}"
    assert not faults("manifest", json.dumps(json.loads(rbuild("inspect", "out").stdout)["manifest"]).encode())


def test_each_policy(rbuild: Rbuild, context: Path, plain_registry: Registry, asked: Asked) -> None:
    name = plain_registry.push("policy", "1", {"f": b"old"}).reference
    write_context(context, f"FROM {name}\n")
    old = made(rbuild, context).digest
    asked()
    assert made(rbuild, context, "--pull=always").digest == old
    assert asked() == ["HEAD manifests/1"]
    plain_registry.push("policy", "1", {"f": b"new"})
    assert {made(rbuild, context, f"--pull={policy}").digest for policy in ("missing", "never")} == {old}
    assert asked()[-1].startswith("PUT")
    new = made(rbuild, context, "--pull=newer").digest
    assert new != old
    assert asked()[:2] == ["HEAD manifests/1", "GET manifests/1"]
    told = rbuild("--isolation=none", "--progress=plain", "--platform=linux/amd64", "--pull", context).stderr
    assert f"[internal] load metadata for {name}" in told
    assert asked() == ["HEAD manifests/1"]


def test_a_second_build_needs_no_registry(rbuild: Rbuild, context: Path, tmp_path: Path) -> None:
    """The registry is gone: a tag that was pulled is an image of the store. `newer` says so, `always` fails."""
    with serving(tmp_path / "registry") as registry:
        base = registry.push("gone", "1", {"f": b"hello"})
        write_context(context, f"FROM {base.reference} AS a\nFROM scratch\nCOPY --from=a f /\n")
        first = made(rbuild, context, "-t", "out")
    again = made(rbuild, context, "-t", "out")
    assert again.digest == first.digest
    assert not again.steps("StepStarted")
    (context / "more").write_text("1")
    assert made(rbuild, context, "--no-cache").digest == first.digest
    told = made(rbuild, context, "--pull=newer")
    (warning,) = (notice["message"] for notice in told["Notice"])
    assert warning.startswith(f"--pull=newer: {base.reference} is taken as it is in the store: ")
    assert "connection refused" in warning
    error = made(rbuild, context, "--pull=always", status=4).error
    assert registry.host in error["message"]
    assert error["span"]["first"] == 1


def test_each_platform_gets_its_image_and_no_other_is_pulled(
    rbuild: Rbuild, context: Path, plain_registry: Registry
) -> None:
    names = ("linux/amd64", "linux/arm64/v8", "linux/arm/v6", "linux/s390x")
    images = {
        name: plain_registry.push("many", name.replace("/", ""), {"f": name.encode()}, platform=name) for name in names
    }
    index = plain_registry.push_index("many", "1", images)
    write_context(context, f"FROM {index.reference}\n")
    build(rbuild, "--isolation=none", "--platform=linux/arm64,linux/arm/v7", "-t", "out", context)
    wanted = {images[name].layers[0] for name in ("linux/arm64/v8", "linux/arm/v6")}
    assert blobs(rbuild) & {image.layers[0] for image in images.values()} == wanted
    build(rbuild, "--isolation=none", "--platform=linux/amd64", context)  # by the index that is here
    assert images["linux/amd64"].layers[0] in blobs(rbuild)
    run = rbuild("--isolation=none", "--platform=linux/riscv64", context, status=1)
    assert f"Dockerfile:1: image {index.reference}: the image is not there for linux/riscv64\n" in run.stderr
    assert "hint: it is there for linux/amd64, linux/arm64/v8, linux/arm/v6, linux/s390x\n" in run.stderr


def test_a_digest_is_asked_for_once(rbuild: Rbuild, context: Path, plain_registry: Registry, asked: Asked) -> None:
    base = plain_registry.push("digest", "1", {"f": b"1"})
    write_context(context, f"FROM {plain_registry.host}/digest:2@{base.digest}\n")
    made(rbuild, context)
    asked()
    for policy in ("always", "newer", "never"):
        made(rbuild, context, f"--pull={policy}")
    made(rbuild, context, "--offline")
    write_context(context, f"FROM {plain_registry.host}/digest@sha256:{'0' * 64}\n")
    assert asked() == []
    assert f"sha256:{'0' * 64}" in made(rbuild, context, status=5).error["message"]


def test_a_private_image(rbuild: Rbuild, context: Path, password_registry: Registry) -> None:
    """Documents and layers by the same credentials, which a second build does without."""
    base = password_registry.push("private", "1", {"f": b"1"})
    write_context(context, f"FROM scratch\nFROM {base.reference}\n")
    run = rbuild("--isolation=none", "--platform=linux/amd64", context, status=3)
    assert "Dockerfile:2: " in run.stderr
    assert f"rbuild login {password_registry.host}" in run.stderr
    words = ["--progress=plain", f"--creds={USER}:{PASSWORD}", "-t", "out", context]
    told = rbuild("--isolation=none", "--platform=linux/amd64", *words)
    assert PASSWORD not in told.stdout + told.stderr
    assert layers_of(rbuild, "out") == [*base.layers]
    made(rbuild, context, "--pull=newer")


def test_what_was_half_pulled_is_completed(rbuild: Rbuild, context: Path, plain_registry: Registry) -> None:
    base = plain_registry.push("half", "1", {"f": b"1"}, {"g": b"2"})
    write_context(context, f"FROM {base.reference}\n")
    whole = made(rbuild, context).digest
    (rbuild.store / "blobs/sha256" / base.layers[1].removeprefix("sha256:")).unlink()
    (rbuild.store / "blobs/sha256" / base.config.removeprefix("sha256:")).unlink()
    assert made(rbuild, context, "--pull=never", status=1).error["span"]["first"] == 1
    assert made(rbuild, context).digest == whole
    assert {base.config, *base.layers} <= blobs(rbuild)


def test_a_foreign_layer_is_refused_with_its_place(rbuild: Rbuild, context: Path, plain_registry: Registry) -> None:
    base = plain_registry.push("foreign", "base", {"f": b"1"})
    manifest = json.loads(base.manifest)
    manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    plain_registry.put_manifest("foreign", "1", OCI_MANIFEST, json.dumps(manifest).encode())
    write_context(context, f"FROM scratch\nFROM {plain_registry.host}/foreign:1\n")
    error = made(rbuild, context, status=1).error
    assert f"layer {base.layers[0]} is a foreign one" in error["message"]
    assert error["span"]["first"] == 2


def test_progress_tells_bytes(rbuild: Rbuild, context: Path, plain_registry: Registry) -> None:
    base: Pushed = plain_registry.push("bytes", "1", {"f": b"1"})
    write_context(context, f"FROM {base.reference}\n")
    run = rbuild("--isolation=none", "--platform=linux/amd64", "--progress=rawjson", context)
    statuses = [status for line in run.stderr.splitlines() for status in json.loads(line).get("statuses", ())]
    (done,) = (status for status in statuses if status["id"] == base.layers[0])
    assert done["name"] == "done"
    assert done["current"] == done["total"] == plain_size(rbuild, base.layers[0])
    names = [vertex["name"] for line in run.stderr.splitlines() for vertex in json.loads(line).get("vertexes", ())]
    assert f"[internal] load metadata for {base.reference}" in names
