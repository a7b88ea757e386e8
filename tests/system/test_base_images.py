"""Builds whose base images are in a registry: Debian's docker-registry, asked when the policy says so and only then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from builder.building import build, plan_text
from builder.errors import BuildError
from builder.events import Event, Notice, StepStarted, StepTransfer
from builder.request import BuildRequest
from tests.support.builds import write_context
from tests.support.command import Rbuild
from tests.support.registries import OCI_MANIFEST, PASSWORD, USER, Registry, serving

Asked = Callable[[], list[str]]


@pytest.fixture
def asked(plain_registry: Registry) -> Asked:
    """What the registry was asked for since the last look: `GET manifests/1`, `GET blobs/sha256:…`."""
    seen = len(plain_registry.requests())

    def look() -> list[str]:
        nonlocal seen
        new, seen = plain_registry.requests()[seen:], len(plain_registry.requests())
        return [" ".join((line.split()[0], "/".join(line.split("/")[-2:]))) for line in new]

    return look


class Desk(NamedTuple):
    """Builds a Dockerfile again and again, into one store, as a program would that uses the library."""

    context: Path
    store: Path

    def request(self, **more: Any) -> BuildRequest:
        fields = {"store": str(self.store), "isolation": "none", "platforms": ("linux/amd64",), **more}
        return BuildRequest(context=str(self.context), **fields)

    def writes(self, dockerfile: str) -> None:
        write_context(self.context, dockerfile)

    def builds(self, **more: Any) -> str:
        return self.told(**more)[0]

    def told(self, **more: Any) -> tuple[str, list[Event]]:
        events: list[Event] = []
        return build(self.request(**more), events.append).digest, events

    def fails(self, status: int, **more: Any) -> BuildError:
        with pytest.raises(BuildError) as error:
            self.builds(**more)
        assert error.value.exit_status == status, error.value
        return error.value

    def blob(self, digest: str) -> Path:
        return self.store / "blobs/sha256" / digest.removeprefix("sha256:")

    def has(self, *digests: str) -> bool:
        return all(self.blob(digest).exists() for digest in digests)


@pytest.fixture
def desk(rbuild: Rbuild, context: Path) -> Desk:
    return Desk(context, rbuild.store)


def test_documents_come_first_and_layers_when_they_are_needed(
    desk: Desk, plain_registry: Registry, asked: Asked
) -> None:
    """A plan asks for the documents; what the target does not need is not asked for at all."""
    base = plain_registry.push("first", "1", {"f": b"hello"})
    desk.writes(f"FROM {plain_registry.host}/none/of/this\nFROM {base.reference}\nCOPY --from={base.reference} f /g\n")
    asked()
    plan_text(desk.request())
    assert asked() == ["GET manifests/1", f"GET blobs/{base.config}"]
    assert not desk.has(base.layers[0])
    _, events = desk.told(tags=("out",))
    assert asked() == [f"GET blobs/{base.layers[0]}"]
    size = desk.blob(base.layers[0]).stat().st_size
    assert [event[2:] for event in events if isinstance(event, StepTransfer)] == [(base.layers[0], size, size)]


def test_an_image_that_is_named_is_whole(desk: Desk, plain_registry: Registry) -> None:
    """No step of this build touches a layer of its base; the image has them all the same."""
    base = plain_registry.push("whole", "1", {"a": b"1"}, {"b": b"2"})
    desk.writes(f"FROM {base.reference}\nENV A=b\n")
    _, events = desk.told(tags=("out",))
    assert desk.has(*base.layers)
    steps = [event.step for event in events if isinstance(event, StepStarted)]
    assert steps == [f"[internal] load metadata for {base.reference}", f"[stage-0 1/1] FROM {base.reference}"]


def test_each_policy(desk: Desk, plain_registry: Registry, asked: Asked) -> None:
    desk.writes(f"FROM {plain_registry.push('policy', '1', {'f': b'old'}).reference}\n")
    old = desk.builds()
    asked()
    assert desk.builds(pull="always") == old
    assert asked() == ["HEAD manifests/1"]
    plain_registry.push("policy", "1", {"f": b"new"})
    asked()
    assert {desk.builds(pull=policy) for policy in ("missing", "never")} == {old}
    assert asked() == []
    new = desk.builds(pull="newer")
    assert new != old
    assert asked()[:2] == ["HEAD manifests/1", "GET manifests/1"]
    assert desk.builds() == new


def test_a_second_build_needs_no_registry(desk: Desk, tmp_path: Path) -> None:
    """The registry is gone: a tag that was pulled is an image of the store. `newer` says that it could not ask."""
    with serving(tmp_path / "registry") as registry:
        base = registry.push("gone", "1", {"f": b"hello"})
        desk.writes(f"FROM {base.reference} AS a\nFROM scratch\nCOPY --from=a f /\n")
        first = desk.builds(tags=("out",))
    again, events = desk.told(tags=("out",))
    assert again == first
    assert not [event for event in events if isinstance(event, StepStarted)]
    assert desk.builds(no_cache=True) == first
    (warning,) = (event.message for event in desk.told(pull="newer")[1] if isinstance(event, Notice))
    assert warning.startswith(f"--pull=newer: {base.reference} is taken as it is in the store: ")
    assert warning.endswith("connection refused")


def test_each_platform_gets_its_image_and_no_other_is_pulled(
    rbuild: Rbuild, desk: Desk, plain_registry: Registry
) -> None:
    names = ("linux/amd64", "linux/arm64/v8", "linux/arm/v6", "linux/s390x")
    images = {
        name: plain_registry.push("many", name.replace("/", ""), {"f": name.encode()}, platform=name) for name in names
    }
    index = plain_registry.push_index("many", "1", images)
    desk.writes(f"FROM {index.reference}\n")
    desk.builds(platforms=("linux/arm64", "linux/arm/v7"), tags=("out",))
    assert [name for name in names if desk.has(images[name].layers[0])] == ["linux/arm64/v8", "linux/arm/v6"]
    desk.builds()  # by the index that is here
    assert desk.has(images["linux/amd64"].layers[0])
    run = rbuild("--isolation=none", "--platform=linux/riscv64", desk.context, status=1)
    assert f"Dockerfile:1: image {index.reference}: the image is not there for linux/riscv64\n" in run.stderr
    assert "hint: it is there for linux/amd64, linux/arm64/v8, linux/arm/v6, linux/s390x\n" in run.stderr


def test_a_digest_is_asked_for_once(desk: Desk, plain_registry: Registry, asked: Asked) -> None:
    base = plain_registry.push("digest", "1", {"f": b"1"})
    desk.writes(f"FROM {plain_registry.host}/digest:2@{base.digest}\n")
    desk.builds()
    asked()
    for policy in ("always", "newer", "never"):
        desk.builds(pull=policy)
    desk.builds(offline=True)
    assert asked() == []
    desk.writes(f"FROM {plain_registry.host}/digest@sha256:{'0' * 64}\n")
    assert f"sha256:{'0' * 64}" in desk.fails(5).message


def test_a_private_image(rbuild: Rbuild, desk: Desk, password_registry: Registry) -> None:
    """Documents and layers by the same credentials, which a second build does without."""
    base = password_registry.push("private", "1", {"f": b"1"})
    desk.writes(f"FROM scratch\nFROM {base.reference}\n")
    error = desk.fails(3)
    assert error.span and error.span.first == 2
    assert f"rbuild login {password_registry.host}" in (error.hint or "")
    words = [
        "--isolation=none",
        "--platform=linux/amd64",
        "--progress=plain",
        f"--creds={password_registry.host}={USER}:{PASSWORD}",
    ]
    told = rbuild(*words, desk.context)
    assert desk.has(*base.layers)
    assert PASSWORD not in told.stdout + told.stderr
    desk.builds()


def test_what_was_half_pulled_is_completed(desk: Desk, plain_registry: Registry) -> None:
    base = plain_registry.push("half", "1", {"f": b"1"}, {"g": b"2"})
    desk.writes(f"FROM {base.reference}\n")
    whole = desk.builds()
    desk.blob(base.layers[1]).unlink()
    desk.blob(base.config).unlink()
    error = desk.fails(1, pull="never")
    assert error.span and error.span.first == 1
    assert desk.builds() == whole
    assert desk.has(base.config, *base.layers)


def test_a_foreign_layer_is_refused_with_its_place(desk: Desk, plain_registry: Registry) -> None:
    base = plain_registry.push("foreign", "base", {"f": b"1"})
    manifest = json.loads(base.manifest)
    manifest["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    plain_registry.put_manifest("foreign", "1", OCI_MANIFEST, json.dumps(manifest).encode())
    desk.writes(f"FROM scratch\nCOPY --from={plain_registry.host}/foreign:1 f /\n")
    error = desk.fails(1)
    assert f"layer {base.layers[0]} is a foreign one" in error.message
    assert error.span and error.span.first == 2


def test_progress_tells_bytes(rbuild: Rbuild, desk: Desk, plain_registry: Registry) -> None:
    base = plain_registry.push("bytes", "1", {"f": b"1"})
    desk.writes(f"FROM {base.reference}\n")
    run = rbuild("--isolation=none", "--platform=linux/amd64", "--progress=rawjson", desk.context)
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    (done,) = (status for line in lines for status in line.get("statuses", ()) if status["id"] == base.layers[0])
    assert done["name"] == "done"
    assert done["current"] == done["total"] == desk.blob(base.layers[0]).stat().st_size
    names = [vertex["name"] for line in lines for vertex in line.get("vertexes", ())]
    assert f"[internal] load metadata for {base.reference}" in names
