"""Every rule of the build checks: where it fires, with what words, and where it only nearly would."""

from __future__ import annotations

import pytest

from builder.dockerfile.checks.check import check, fails
from builder.dockerfile.checks.matter import Matter
from builder.dockerfile.checks.rules import DESCRIPTIONS, Finding, url
from builder.dockerfile.ignore import parse_ignore
from builder.dockerfile.parser import parse
from builder.oci.config import ImageConfig
from builder.oci.platform import parse_platform

AMD64 = ImageConfig(os="linux", architecture="amd64", env=(("PATH", "/bin"), ("GOPATH", "/go")))
ARM64 = AMD64._replace(architecture="arm64")


def found(
    text: str,
    *,
    args: dict[str, str] | None = None,
    ignore: str | None = None,
    config: ImageConfig | None = AMD64,
    target: str | None = None,
    whole: bool = False,
) -> list[Finding]:
    patterns = None if ignore is None else parse_ignore(ignore, ".dockerignore")
    matter = Matter(args or {}, parse_platform("linux/amd64"), lambda name, platform, span: config, patterns)
    return check(parse(text.encode(), "Dockerfile"), target, matter, whole=whole)


FIRES = [
    ("StageNameCasing", "FROM scratch AS Build", 1, "Stage name 'Build' should be lowercase"),
    ("FromAsCasing", "FROM scratch as b", 1, "'as' and 'FROM' keywords' casing do not match"),
    ("FromAsCasing", "from scratch AS b", 1, "'AS' and 'from' keywords' casing do not match"),
    ("NoEmptyContinuation", "FROM scratch\nCOPY a \\\n\n.", 4, "Empty continuation line"),
    (
        "ConsistentInstructionCasing",
        "FROM scratch\nCOPY a /\nUsEr 1",
        3,
        "Command 'UsEr' should match the case of the command majority (uppercase)",
    ),
    (
        "ConsistentInstructionCasing",
        "FROM scratch\ncopy a /\ncopy b /",
        1,
        "Command 'FROM' should match the case of the command majority (lowercase)",
    ),
    (
        "DuplicateStageName",
        "FROM scratch AS b\nFROM scratch AS b",
        2,
        'Duplicate stage name "b", stage names should be unique',
    ),
    (
        "ReservedStageName",
        "FROM scratch AS context",
        1,
        'Stage name should not use the same name as reserved stage "context"',
    ),
    (
        "JSONArgsRecommended",
        "FROM scratch\nCMD run it",
        2,
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
    ),
    (
        "MaintainerDeprecated",
        "FROM scratch\nMAINTAINER me",
        2,
        "Maintainer instruction is deprecated in favor of using label",
    ),
    (
        "UndefinedArgInFrom",
        "FROM --platform=$BULIDPLATFORM scratch",
        1,
        "FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)",
    ),
    (
        "UndefinedArgInFrom",
        "ARG tag=1\nFROM busybox:${tag}${version}",
        2,
        "FROM argument 'version' is not declared",
    ),
    ("UndefinedVar", "FROM x\nCOPY $foo /", 2, "Usage of undefined variable '$foo'"),
    (
        "UndefinedVar",
        "FROM x\nENV PATH=$PAHT:/tmp",
        2,
        "Usage of undefined variable '$PAHT' (did you mean $PATH?)",
    ),
    ("UndefinedVar", "FROM scratch\nCOPY <<E /a\n$body\nE", 2, "Usage of undefined variable '$body'"),
    (
        "WorkdirRelativePath",
        "FROM scratch\nWORKDIR app/",
        2,
        'Relative workdir "app/" can have unexpected results if the base image changes',
    ),
    (
        "MultipleInstructionsDisallowed",
        'FROM scratch\nCMD ["a"]\nUSER 1\nCMD ["b"]',
        2,
        "Multiple CMD instructions should not be used in the same stage because only the last one will be used",
    ),
    (
        "LegacyKeyValueFormat",
        "FROM scratch\nENV a b",
        2,
        '"ENV key=value" should be used instead of legacy "ENV key value" format',
    ),
    (
        "LegacyKeyValueFormat",
        "FROM scratch\nLABEL a b",
        2,
        '"LABEL key=value" should be used instead of legacy "LABEL key value" format',
    ),
    (
        "RedundantTargetPlatform",
        "FROM --platform=${TARGETPLATFORM} scratch",
        1,
        "Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior",
    ),
    (
        "SecretsUsedInArgOrEnv",
        "FROM scratch\nARG GIT_Token",
        2,
        'Do not use ARG or ENV instructions for sensitive data (ARG "GIT_Token")',
    ),
    (
        "SecretsUsedInArgOrEnv",
        "FROM scratch\nENV a=1 auth=2",
        2,
        'Do not use ARG or ENV instructions for sensitive data (ENV "auth")',
    ),
    (
        "InvalidDefaultArgInFrom",
        "ARG V\nFROM busybox:$V",
        2,
        "Default value for ARG busybox:$V results in empty or invalid base image name",
    ),
    (
        "FromPlatformFlagConstDisallowed",
        "FROM --platform=linux/amd64 scratch",
        1,
        'FROM --platform flag should not use constant value "linux/amd64"',
    ),
    (
        "ExposeProtoCasing",
        "FROM scratch\nEXPOSE 80/TcP",
        2,
        "Defined protocol '80/TcP' in EXPOSE instruction should be lowercase",
    ),
    (
        "ExposeInvalidFormat",
        "FROM scratch\nEXPOSE 127.0.0.1:80:80",
        2,
        "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
    ),
]


@pytest.mark.parametrize(("rule", "text", "line", "detail"), FIRES)
def test_fires_with_the_words_of_the_reference(rule: str, text: str, line: int, detail: str) -> None:
    hits = [(each.rule, each.span.first, each.detail) for each in found(text) if each.rule == rule]
    assert hits == [(rule, line, detail)]


NEAR_MISSES = [
    "FROM scratch AS base\nFROM base AS b",
    "from scratch as b\ncopy a /",
    "FROM scratch\nCOPY a \\\n# comment\n.",
    "FROM scratch\nSHELL [\"/bin/bash\"]\nCMD run it",
    "FROM scratch AS a\nSHELL [\"/bin/bash\"]\nFROM a\nENTRYPOINT run it",
    "FROM scratch\nHEALTHCHECK CMD test",
    "ARG base=scratch\nFROM $base",
    "FROM --platform=$BUILDPLATFORM scratch",
    "FROM scratch\nARG foo\nCOPY a$foo /",
    "FROM scratch AS a\nARG foo=1\nFROM a\nCOPY $foo /",
    "FROM x\nWORKDIR $GOPATH",
    "FROM scratch\nRUN echo $undefined",
    "FROM scratch\nCOPY <<'E' /a\n$body\nE",
    "FROM scratch AS a\nWORKDIR /app\nFROM a\nWORKDIR sub",
    'FROM scratch AS a\nCMD ["a"]\nFROM a\nCMD ["b"]',
    "FROM scratch\nENV a=b",
    "FROM scratch\nENV PUBLIC_KEY=1 KEY_FILE=2 TOKEN_VERSION=3 KEYBOARD=4",
    "FROM scratch\nLABEL secret=1",
    'ARG V=""\nFROM busybox:stable$V',
    "FROM --platform=linux/amd64 scratch AS for_amd64",
    "FROM scratch\nEXPOSE 80/tcp 8000-8010/udp",
    "# nothing of it\nFROM scratch AS b",
]  # fmt: skip


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_does_not_fire_beside_it(text: str) -> None:
    assert found(text) == []


def rules(*args: object, **options: object) -> list[str]:
    return [each.rule for each in found(*args, **options)]  # type: ignore[arg-type]


def test_the_platform_of_a_base_image() -> None:
    assert [each.detail for each in found("FROM x", config=ARM64)] == [
        'Base image x was pulled with platform "linux/arm64", expected "linux/amd64" for current build'
    ]
    assert rules("FROM x", config=AMD64) == []


def test_what_the_ignore_file_takes_away() -> None:
    text = "FROM scratch\nCOPY ./tmp/a /\nADD tmp/b /"
    assert [each.detail for each in found(text, ignore="tmp")] == [
        'Attempting to Copy file "./tmp/a" that is excluded by .dockerignore',
        'Attempting to Add file "tmp/b" that is excluded by .dockerignore',
    ]
    assert rules(text, ignore="tmp\n!tmp/a") == []
    assert rules(text, ignore="other") == []
    assert rules("FROM scratch AS a\nFROM a\nCOPY --from=a /tmp /", ignore="tmp") == []


@pytest.mark.parametrize(("patterns", "fires"), [("*", True), ("**", True), ("**/*", True), ("*.c", False)])
def test_the_whole_context_is_ignored_by_what_matches_everything(patterns: str, fires: bool) -> None:
    assert bool(found("FROM scratch\nCOPY . /", ignore=patterns)) is fires


def test_a_base_that_nobody_looked_up_may_define_any_name() -> None:
    assert rules("FROM x\nWORKDIR $GOROOT", config=None) == []
    assert rules("FROM x\nENV A=$PAHT", config=None) == ["UndefinedVar"]


def test_the_experimental_rule_is_asked_for() -> None:
    text = "FROM scratch AS b\n# not a description\nARG foo"
    assert rules(text) == []
    for check_line in ("experimental=all", "experimental=InvalidDefinitionDescription", "skip=all;experimental=all"):
        assert rules(f"# check={check_line}\n{text}") == ["InvalidDefinitionDescription"]
    assert rules("# check=experimental=all\nFROM scratch\n# foo is described\nARG foo") == []


def test_skip_silences_rules_of_the_file() -> None:
    assert rules("# check=skip=all\nFROM scratch as B") == []
    assert rules("# check=skip=StageNameCasing\nFROM scratch as B") == ["FromAsCasing"]


def test_a_check_above_an_instruction_is_for_that_one_alone() -> None:
    text = "FROM scratch\n# check=skip=LegacyKeyValueFormat\nENV a b\nENV c d"
    assert [(each.rule, each.span.first) for each in found(text)] == [("LegacyKeyValueFormat", 4)]


def test_the_build_argument_replaces_the_directive() -> None:
    text = "# check=skip=all\nFROM scratch as b"
    args = {"BUILDKIT_DOCKERFILE_CHECK": "skip=StageNameCasing;error=true"}
    assert rules(text, args=args) == ["FromAsCasing"]


@pytest.mark.parametrize(
    ("line", "fatal"), [("error=true", True), ("error=false", False), ("skip=all;error=true", False)]
)
def test_error_makes_findings_fatal(line: str, fatal: bool) -> None:
    text = f"# check={line}\nFROM scratch as b"
    matter = Matter({}, parse_platform("linux/amd64"), lambda name, platform, span: None)
    assert fails(parse(text.encode(), "Dockerfile"), found(text), matter) is fatal


def test_a_stage_that_is_not_needed_is_looked_at_only_as_a_whole() -> None:
    text = "FROM scratch AS a\nENV x y\nFROM scratch AS b"
    assert rules(text) == []
    assert rules(text, whole=True) == ["LegacyKeyValueFormat"]
    assert rules(text, target="a") == ["LegacyKeyValueFormat"]


def test_every_rule_has_a_page_but_one() -> None:
    assert len(DESCRIPTIONS) == 22
    assert url("JSONArgsRecommended") == "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"
    assert url("SecretsUsedInArgOrEnv") == "https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/"
    assert [rule for rule in DESCRIPTIONS if not url(rule)] == ["InvalidBaseImagePlatform"]
