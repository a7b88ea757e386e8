"""Plans as texts: what `rbuild plan` prints for the Dockerfiles under tests/golden/plan, their config and history."""

from __future__ import annotations

import json

import pytest

from builder.dockerfile.lower import Settings, lower
from builder.dockerfile.parser import parse
from builder.dockerfile.state import Plan
from builder.errors import BuildError, Span
from builder.graph import text
from builder.oci.assemble import Layer
from builder.oci.config import History, ImageConfig
from builder.oci.descriptor import Descriptor
from builder.oci.platform import Platform
from builder.oci.resolved import ResolvedImage
from tests.support import golden

CASES = sorted(path.name for path in (golden.ROOT / "plan").iterdir())


class Images:
    """Every image that is asked for exists; its digest tells its name. Remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolve(self, name: str, platform: Platform, span: Span) -> ResolvedImage:
        self.asked.append(name)
        digest = f"sha256:{name.encode().hex():0<64.64}"
        config = ImageConfig(
            env=(("PATH", "/go/bin:/bin"), ("LEVEL", "base")),
            working_dir="/go",
            cmd=("sh",),
            history=(History(created_by="base"),),
            on_build=("RUN echo $LEVEL",) if name.endswith(":onbuild") else (),
        )
        return ResolvedImage(name, digest, config, (Layer(Descriptor("application/x", digest, 1), digest),))


def planned(source: str, target: str | None = None, images: Images | None = None, **build_args: str) -> Plan:
    settings = Settings(
        build_args=build_args,
        labels=(),
        contexts=frozenset(),
        replaced=frozenset(),
        platform=Platform("linux", "amd64"),
        build_platform=Platform("linux", "amd64"),
        network="host",
        resolve=(images or Images()).resolve,
    )
    return lower(parse(source.encode(), "Dockerfile"), target, settings)


def shown(plan: Plan) -> str:
    config = json.loads(plan.config.encode())
    told = [
        entry.get("created_by", "") + (" (empty)" if entry.get("empty_layer") else "") for entry in config["history"]
    ]
    return "\n".join(
        [
            text.dump(plan.graph, [plan.target]),
            "config: " + json.dumps(config.get("config", {}), indent=1),
            "history:",
            *(f"  {line}" for line in told),
            "",
        ]
    )


@pytest.mark.parametrize("case", CASES)
def test_the_plan_is_what_its_golden_file_says(case: str) -> None:
    """A new case is a new folder with a Dockerfile; RBUILD_UPDATE_GOLDEN=1 writes the rest, to be read."""
    source = (golden.ROOT / "plan" / case / "Dockerfile").read_text()
    golden.check(f"plan/{case}/expected.txt", shown(planned(source)))


def test_only_what_the_target_needs_is_planned_and_resolved() -> None:
    source = (golden.ROOT / "plan/guide/Dockerfile").read_text()
    images = Images()

    plan = planned("FROM never:asked AS unused\n" + source, "client", images)

    assert images.asked == ["golang:1.21-alpine"]
    assert not [note.step for note in plan.graph.notes.values() if "server" in note.step]


def test_a_target_is_found_in_any_case_and_never_by_number() -> None:
    source = "FROM scratch AS Client\nFROM scratch AS server\n"

    assert planned(source, "CLIENT").stage == "client"
    with pytest.raises(BuildError, match="target stage '0' could not be found") as caught:
        planned(source, "0")
    assert "client, server" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("source", "message", "line"),
    [
        ("FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\nCOPY --from=a /x /\n", "circular dependency", 3),
        ("FROM scratch AS a\nCOPY --from=a /x /\n", "circular dependency", 1),
        ("FROM scratch\nCOPY --from=7 /x /\n", "no stage number 7", 2),
        ("ARG X\nFROM $X\n", "should not be blank", 2),
        ("FROM scratch\nENV A=1\nEXPOSE 99999\n", "invalid port", 3),
        ("FROM scratch\nSTOPSIGNAL SIGFOO\n", "invalid signal", 2),
        ("FROM scratch\nLABEL a=b\nRUN --device=v/c=d x\n", "not supported yet", 3),
        ("FROM scratch\nCOPY https://example.org/x /\n", "can't be a URL", 2),
        ("FROM --platform=linux/s390x/a/b scratch\n", "not a platform", 1),
        ("FROM scratch\nRUN []\n", "has no command", 2),
        ('FROM scratch\nENV A="${X:?is needed}"\n', "X: is needed", 2),
    ],
)
def test_an_error_names_the_line_and_the_cause(source: str, message: str, line: int) -> None:
    with pytest.raises(BuildError, match=message) as caught:
        planned(source)
    assert caught.value.span is not None
    assert (caught.value.span.file, caught.value.span.first) == ("Dockerfile", line)


@pytest.mark.parametrize("image", ["docker/dockerfile:1", "docker.io/docker/dockerfile:1.7-labs", "dockerfile.v0"])
def test_dockers_own_frontend_is_built_in_e_t4(image: str) -> None:
    planned(f"# syntax={image}\nFROM scratch\nCOPY x /\n")


def test_another_frontend_is_refused_with_its_line() -> None:
    with pytest.raises(BuildError, match="frontends are not supported") as caught:
        planned("#!/bin/x\n# syntax=evil/frontend:1\nFROM scratch\n")
    assert caught.value.span == Span("Dockerfile", 2, 2)

    with pytest.raises(BuildError, match="frontends are not supported"):
        planned("FROM scratch\n", BUILDKIT_SYNTAX="evil/frontend")


def test_what_an_unneeded_stage_says_is_no_error() -> None:
    planned("FROM scratch AS bad\nRUN --device=v/c=d x\nFROM scratch\nCOPY x /\n")


def test_build_args_reach_the_stages_that_declare_them() -> None:
    source = "ARG A=1\nFROM scratch\nARG A\nARG B=2\nENV X=$A-$B-$C\nENV A=env\nARG A\nENV Y=$A\n"

    assert dict(planned(source).config.env)["X"] == "1-2-"
    given = planned(source, A="a", B="b", C="c")
    assert dict(given.config.env)["X"] == "a-b-"
    assert dict(given.config.env)["Y"] == "a"  # the last declaration wins
    assert given.unused_args == ("C",)


def test_an_entry_point_resets_an_inherited_cmd_but_not_its_own() -> None:
    assert planned('FROM golang\nENTRYPOINT ["x"]\n').config.cmd is None
    assert planned('FROM golang\nCMD ["y"]\nENTRYPOINT ["x"]\n').config.cmd == ("y",)
    assert planned('FROM golang AS a\nCMD ["y"]\nFROM a\nENTRYPOINT ["x"]\n').config.cmd is None


def test_thousands_of_stages_are_planned() -> None:
    """A chain of stages deeper than Python's own stack."""
    source = "FROM scratch AS s0\nCOPY x /\n" + "".join(f"FROM s{n} AS s{n + 1}\nCOPY x /{n}\n" for n in range(2000))

    assert len(planned(source).made) == 2001
