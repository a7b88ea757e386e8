"""Several platforms in one build: one index, shared stages run once, annotations where they belong."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.builds import build, build_busybox, write_context
from tests.support.command import Rbuild
from tests.support.tools import need_tool

# What is compiled runs on the build platform; what is shipped is of the target's.
CROSS = """\
FROM --platform=$BUILDPLATFORM busybox AS compiler
RUN echo shared >/shared
ARG TARGETARCH
RUN echo "for $TARGETARCH" >/program
FROM scratch
COPY --from=compiler /shared /program /
"""


def blob(layout: Path, digest: str) -> Any:
    return json.loads((layout / "blobs" / digest.replace(":", "/")).read_bytes())


def index_of(layout: Path) -> Any:
    (entry,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return blob(layout, entry["digest"])


@pytest.fixture
def rbuild(tmp_path: Path) -> Any:
    command = Rbuild(tmp_path / "store")
    yield command
    command.clean()


def test_one_index_of_cross_compiled_images(rbuild: Rbuild, tmp_path: Path) -> None:
    build_busybox(rbuild, need_tool("busybox"), tmp_path / "busybox")
    context = write_context(tmp_path / "context", CROSS)
    out = tmp_path / "out"
    built = build(
        rbuild,
        "--platform=linux/amd64,linux/arm64,linux/arm/v7",
        "-t",
        "cross",
        f"--output=type=oci,tar=false,dest={out}",
        context,
    )
    index = index_of(out)
    shown = [entry["platform"] for entry in index["manifests"]]
    assert shown == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
    ]
    configs = [blob(out, blob(out, entry["digest"])["config"]["digest"]) for entry in index["manifests"]]
    assert [config["architecture"] for config in configs] == ["amd64", "arm64", "arm"]
    assert len({config["rootfs"]["diff_ids"][-1] for config in configs}) == 3
    ran = built.steps("StepFinished")
    assert ran.count("RUN echo shared >/shared") == 1
    assert ran.count('RUN echo "for $TARGETARCH" >/program') == 3
    (row,) = [row for row in json.loads(rbuild("images", "--json").stdout) if "cross" in row["reference"]]
    assert row["size"] > sum(len(json.dumps(config)) for config in configs)
    assert row["created"] == configs[0]["created"]
    assert built.digest == json.loads((out / "index.json").read_bytes())["manifests"][0]["digest"]


def test_the_same_again_is_cached_and_the_same(rbuild: Rbuild, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", "FROM scratch\nCOPY a /\n", {"a": "a"})
    first = build(rbuild, "--platform", "linux/amd64,linux/arm64", context)
    again = build(rbuild, "--platform", "linux/amd64", "--platform", "linux/arm64", context)
    assert first.digest == again.digest
    assert again.steps("StepFinished") == []
    assert build(rbuild, "--platform=linux/arm64", context).digest != build(rbuild, context).digest


def test_annotations_stand_at_their_level(rbuild: Rbuild, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", "FROM scratch\nCOPY a /\n", {"a": "a"})
    out = tmp_path / "out"
    levels = ("a=1", "index:b=2", "manifest-descriptor:c=3", "index-descriptor:d=4", "manifest[linux/arm64]:e=5")
    words = [f"--annotation={text}" for text in levels]
    build(rbuild, "--platform=linux/amd64,linux/arm64", *words, f"--output=type=oci,tar=false,dest={out}", context)
    (entry,) = json.loads((out / "index.json").read_bytes())["manifests"]
    index = blob(out, entry["digest"])
    manifests = [blob(out, found["digest"]) for found in index["manifests"]]
    assert entry["annotations"]["d"] == "4"
    assert index["annotations"] == {"b": "2"}
    assert [found["annotations"] for found in index["manifests"]] == [{"c": "3"}, {"c": "3"}]
    assert [found["annotations"] for found in manifests] == [{"a": "1"}, {"a": "1", "e": "5"}]


def test_an_index_annotation_without_an_index_is_refused(rbuild: Rbuild, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", "FROM scratch\n")
    assert "there is no index" in rbuild("build", "--annotation=index:a=b", context, status=2).stderr
    built = build(rbuild, "--annotation=index:a=b", "--build-arg=BUILDKIT_MULTI_PLATFORM=1", context)
    assert built["Notice"] == []


def test_the_config_of_a_scratch_image_tells_its_platform(rbuild: Rbuild, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", "FROM scratch\nARG TARGETPLATFORM\nLABEL p=$TARGETPLATFORM\n")
    rbuild("build", "--platform=linux/arm/v6", "-t", "x", context)
    told = json.loads(rbuild("inspect", "x").stdout)
    assert '"arm"' in json.dumps(told)
    assert "linux/arm/v6" in json.dumps(told)


def test_stages_of_no_cache_filter_run_again_and_what_stands_on_them(rbuild: Rbuild, tmp_path: Path) -> None:
    dockerfile = """\
FROM busybox AS tools
RUN echo tools >/tools
FROM busybox AS app
RUN cat /proc/sys/kernel/random/uuid >/app
FROM app
COPY --from=tools /tools /
"""
    build_busybox(rbuild, need_tool("busybox"), tmp_path / "busybox")
    context = write_context(tmp_path / "context", dockerfile)
    first = build(rbuild, context)
    assert build(rbuild, context).digest == first.digest
    again = build(rbuild, "--no-cache-filter=APP", context)
    assert again.steps("StepFinished") == ["RUN cat /proc/sys/kernel/random/uuid >/app", "COPY --from=tools /tools /"]
    assert again.digest != first.digest
    assert build(rbuild, context).digest == again.digest


TWO = """\
FROM busybox AS tree
ARG TARGETARCH
RUN mkdir -p /out/deep && echo $TARGETARCH >/out/deep/arch && ln /out/deep/arch /out/hard && ln -s deep /out/soft \\
 && chmod 4750 /out/deep/arch && : >/out/$TARGETARCH
FROM scratch
COPY --from=tree /out /
"""
PLATFORMS = "--platform=linux/amd64,linux/arm/v7"


@pytest.fixture
def two(rbuild: Rbuild, tmp_path: Path) -> Path:
    build_busybox(rbuild, need_tool("busybox"), tmp_path / "busybox")
    return write_context(tmp_path / "two", TWO.replace("FROM busybox", "FROM --platform=$BUILDPLATFORM busybox"))


def test_local_and_tar_have_a_folder_for_each_platform(rbuild: Rbuild, two: Path, tmp_path: Path) -> None:
    archive = tmp_path / "out.tar"
    build(rbuild, PLATFORMS, f"--output={tmp_path / 'out'}", f"--output=type=tar,dest={archive}", two)
    assert (tmp_path / "out/linux_amd64/deep/arch").read_text() == "amd64\n"
    assert (tmp_path / "out/linux_arm_v7/soft/arch").read_text() == "arm\n"
    with tarfile.open(archive) as tar:
        names = {entry.name: entry for entry in tar}
        content = tar.extractfile("linux_arm_v7/deep/arch")
        assert content is not None and content.read() == b"arm\n"
        hard = tar.extractfile("linux_arm_v7/hard")
        assert hard is not None and hard.read() == b"arm\n"
    assert {name.partition("/")[0] for name in names} == {"linux_amd64", "linux_arm_v7"}
    assert names["linux_arm_v7/soft"].linkname == "deep"
    assert names["linux_amd64/deep/arch"].mode == 0o4750


def test_platform_split_is_what_it_says(rbuild: Rbuild, two: Path, tmp_path: Path) -> None:
    for kind in ("local", "tar"):
        output = f"--output=type={kind},dest={tmp_path / kind},platform-split=false"
        refused = rbuild("build", PLATFORMS, output, two, status=1).stderr
        assert "/deep/arch is in the images of two platforms" in refused
    plain = write_context(
        tmp_path / "plain", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /d/\n", {"amd64": "1", "arm": "2"}
    )
    build(rbuild, PLATFORMS, f"--output=type=local,dest={tmp_path / 'merged'},platform-split=false", plain)
    assert sorted(os.listdir(tmp_path / "merged/d")) == ["amd64", "arm"]
    one = f"--output=type=local,dest={tmp_path / 'one'},platform-split=true"
    build(rbuild, "--platform=linux/amd64", one, plain)
    assert os.listdir(tmp_path / "one") == ["linux_amd64"]


def test_files_for_scripts_of_an_index_and_of_an_image(rbuild: Rbuild, tmp_path: Path) -> None:
    context = write_context(tmp_path / "context", "FROM scratch\nCOPY a /\n", {"a": "a"})
    files = (
        f"--iidfile={tmp_path / 'id'}",
        f"--metadata-file={tmp_path / 'meta'}",
        "--build-arg=SOURCE_DATE_EPOCH=86400",
    )
    for platforms in (PLATFORMS, "--platform=linux/amd64"):
        built = build(rbuild, platforms, *files, context)
        meta = json.loads((tmp_path / "meta").read_text())
        assert meta["containerimage.digest"] == meta["containerimage.descriptor"]["digest"] == built.digest
        created = {"org.opencontainers.image.created": "1970-01-02T00:00:00Z"}
        assert meta["containerimage.descriptor"]["annotations"] == created
        assert (tmp_path / "id").read_text() == meta.get("containerimage.config.digest", built.digest)
        assert ("containerimage.config.digest" in meta) == (platforms != PLATFORMS)


def test_what_is_copied_from_a_stage_of_no_cache_filter_is_new(rbuild: Rbuild, tmp_path: Path) -> None:
    dockerfile = """\
FROM busybox AS app
RUN cat /proc/sys/kernel/random/uuid >/app
FROM scratch
COPY --from=app /app /
"""
    build_busybox(rbuild, need_tool("busybox"), tmp_path / "busybox")
    context = write_context(tmp_path / "context", dockerfile)
    first = build(rbuild, context)
    again = build(rbuild, "--no-cache-filter=app", context)
    assert "COPY --from=app /app /" in again.steps("StepFinished")
    assert again.digest != first.digest
