"""RUN --mount to MountPoints: defaults, targets, ids (dockerfile-language 1.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from builder.building import plan_text
from builder.graph.ops import ExecOp, MountPoint
from builder.request import BuildRequest
from builder.solver import keys

if TYPE_CHECKING:
    from pathlib import Path


def plan(tmp_path: Path, mount: str, head: str = "", **fields: object) -> str:
    (tmp_path / "Dockerfile").write_text(f"FROM scratch AS base\n{head}WORKDIR /w\nRUN --mount={mount} true\n")
    return plan_text(BuildRequest(str(tmp_path), store=str(tmp_path / "store"), **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mount", "parts"),
    [
        ("target=x", ["bind", "/w/x"]),
        ("target=../x/,source=a/../b", ["/x", "/b"]),
        ("type=cache,target=x", ["cache", "/w/x", "shared"]),
        ("type=secret,id=a/b", ["/run/secrets/b", "a/b"]),
        ("type=ssh", ["/run/buildkit/ssh_agent.0", "default"]),
        ("type=tmpfs,target=$T,size=2k", ["/from-env", "2048"]),
    ],
)
def test_defaults(tmp_path: Path, mount: str, parts: list[str]) -> None:
    text = plan(tmp_path, mount, "ENV T=/from-env\n")

    assert [part for part in parts if part not in text] == []


def test_namespace_of_caches(tmp_path: Path) -> None:
    text = plan(tmp_path, "type=cache,id=c,target=/c", build_args=(("BUILDKIT_CACHE_MOUNT_NS", "team"),))

    assert "team/c" in text


def op(mount: MountPoint) -> ExecOp:
    return ExecOp("root", ("true",), (), "/", "", "none", "h", mounts=(mount,))


def test_key_of_a_mount_is_that_of_its_source_not_its_digest() -> None:
    bound = MountPoint("bind", "/x", source="1" * 64, path="/")

    key = keys.plain_key(op(bound), ["r", "s"])
    assert key == keys.plain_key(op(bound._replace(source="2" * 64)), ["r", "s"])
    assert key != keys.plain_key(op(bound), ["r", "t"])
    assert key != keys.plain_key(op(bound._replace(path="/a")), ["r", "s"])
    assert key != keys.plain_key(op(bound._replace(readonly=True)), ["r", "s"])
