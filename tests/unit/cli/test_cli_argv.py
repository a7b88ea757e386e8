"""How words become arguments: as docker's own command line reads them, and strictly."""

from __future__ import annotations

from collections import Counter

import pytest

from builder.cli import argv, refusals
from builder.cli.build_options import NOT_YET
from builder.cli.commands import COMMANDS, command
from builder.cli.options import FLAG, Command
from builder.errors import UsageError

BUILD = COMMANDS[0]


def read(line: str) -> argv.Arguments:
    return argv.read(BUILD, line.split())


@pytest.mark.parametrize(
    "line",
    [
        "--target client",
        "--target=client",
        "--target x --target client",
        ". --target client",
        "--target client -- .",
    ],
)
def test_values(line: str) -> None:
    """`--x v` and `--x=v` are the same, before or after CONTEXT; the last one counts."""
    arguments = read(line)

    assert arguments.one("target") == "client"
    assert arguments.operand(".") == "."


@pytest.mark.parametrize("line", ["-t a", "-ta", "-t=a", "-qt a", "-qta", "-qt=a", "--tag a", "--tag=a"])
def test_short_options(line: str) -> None:
    assert read(line).all("tag") == ("a",)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("", False),
        ("-q", True),
        ("--quiet", True),
        ("--quiet=true", True),
        ("--quiet=1", True),
        ("--quiet=false", False),
        ("-q=false", False),
        ("--quiet=F", False),
        ("--quiet --quiet=0", False),
    ],
)
def test_flags(line: str, value: bool) -> None:
    assert read(line).flag("quiet") is value


def test_repeated_options_keep_their_order() -> None:
    assert read("-t b -t a --tag c").all("tag") == ("b", "a", "c")


def test_pairs() -> None:
    """Only the first = divides; a key alone is told from an empty value."""
    arguments = read("--build-arg A=1=2 --build-arg B= --build-arg C")

    assert arguments.pairs("build-arg") == (("A", "1=2"), ("B", ""), ("C", None))


def test_operands() -> None:
    """`--` ends the options, `-` is an operand."""
    load = command("load")
    assert load

    assert argv.read(load, ["--", "--store"]).operands == ("--store",)
    assert argv.read(load, ["-"]).operands == ("-",)


def test_an_option_takes_the_next_word_whatever_it_is() -> None:
    """As pflag does: `--target --quiet` names a stage, and does not silently drop a value."""
    assert read("--target --quiet").one("target") == "--quiet"
    assert read("-f -").one("file") == "-"


def test_an_empty_value_is_as_none() -> None:
    assert read("--target=").one("target") is None
    assert read("--network=").one("network") is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--nonsense", "no such option: --nonsense"),
        ("--targ x", "no such option: --targ"),
        ("-z", "no such option: -z"),
        ("-qz", "no such option: -z (in -qz)"),
        ("--target", "--target needs a value: --target STAGE"),
        ("-t", "-t needs a value: -t NAME[:TAG]"),
        ("--quiet=maybe", "--quiet=maybe: a flag is true or false"),
        ("--network bridge", "--network bridge: choose one of default, host, none"),
        ("--progress=raw", "--progress raw: choose one of auto, plain, tty, json, rawjson, quiet"),
        ("--build-arg =x", "--build-arg =x: expected KEY[=VALUE]"),
        ("--build-context name", "--build-context name: expected NAME=VALUE"),
        (". extra", "unexpected argument: extra"),
        ("--squash", "--squash is not supported"),
        ("--squash=false", "--squash is not supported"),
        ("-v /a:/b", "-v is not supported"),
    ],
)
def test_faults(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(line)

    assert caught.value.message == message
    assert caught.value.exit_status == 2


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(UsageError) as caught:
        read("--taget client")

    assert caught.value.hint == "did you mean --target?"


def test_too_few_operands_show_the_usage() -> None:
    tag = command("tag")
    assert tag
    with pytest.raises(UsageError) as caught:
        argv.read(tag, ["one"])

    assert (caught.value.message, caught.value.hint) == (
        "tag needs SRC DST",
        "usage: rbuild tag [OPTIONS] SRC DST",
    )
    assert argv.read(tag, ["--help"]).flag("help")


@pytest.mark.parametrize("each", COMMANDS, ids=lambda each: each.name)
def test_tables_are_whole(each: Command) -> None:
    """No name means two things; every option that works says what it does and what it takes."""
    names = Counter(name for option in each.options for name in option.names)

    assert [name for name, count in names.items() if count > 1] == []
    for option in each.options:
        assert option.names[0].startswith("--")
        assert option.help.endswith(".") or not option.supported
        assert bool(option.metavar) != (option.kind == FLAG)


# Names only, from `docker buildx build --help` and `buildah build --help`.
DOCKER = (
    "add-host allow annotation attest build-arg build-context builder cache-from cache-to call "
    "cgroup-parent check debug file iidfile label load metadata-file network no-cache no-cache-filter "
    "output platform policy progress provenance pull push quiet sbom secret shm-size ssh tag target "
    "ulimit compress cpu-period cpu-quota cpu-shares cpuset-cpus cpuset-mems force-rm isolation memory "
    "memory-swap rm security-opt squash "
)
BUILDAH = (
    "add-host all-platforms annotation arch authfile build-arg build-arg-file build-context cache-from "
    "cache-to cache-ttl cap-add cap-drop cert-dir cgroup-parent cgroupns compat-volumes compress cpp-flag "
    "cpu-period cpu-quota cpu-shares cpuset-cpus cpuset-mems created-annotation creds cw decryption-key "
    "device disable-compression disable-content-trust dns dns-option dns-search env file force-rm format "
    "from group-add hooks-dir http-proxy identity-label ignorefile iidfile iidfile-raw "
    "inherit-annotations inherit-labels ipc isolation jobs label layer-label layers logfile logsplit "
    "manifest memory memory-swap metadata-file mount network no-cache no-hostname no-hosts no-pivot-root "
    "omit-history os os-feature os-version output pid platform pull quiet retry retry-delay "
    "rewrite-timestamp rm runtime runtime-flag save-stages sbom secret security-opt shm-size sign-by "
    "skip-unused-stages source-date-epoch source-policy-file squash ssh stage-labels stdin tag target "
    "timestamp tls-verify ulimit unsetannotation unsetenv unsetlabel userns userns-gid-map "
    "userns-gid-map-group userns-uid-map userns-uid-map-user uts variant volume "
)


@pytest.mark.parametrize("name", sorted({*DOCKER.split(), *BUILDAH.split()}))
def test_every_option_of_docker_and_buildah_is_known(name: str) -> None:
    """It works, or it is refused by name; it is never "no such option" and never ignored."""
    known = {each: option for option in BUILD.options for each in option.names}

    assert f"--{name}" in known


@pytest.mark.parametrize("option", NOT_YET, ids=lambda option: option.name)
def test_what_is_not_supported_is_refused_by_name(option: argv.Option) -> None:
    for name in option.names:
        with pytest.raises(UsageError, match=f"^{name} is not supported$"):
            argv.read(BUILD, [name, "value", "."])


def test_what_is_refused_says_what_to_do_instead() -> None:
    """Every hint belongs to one option that is refused, and what people reach for first has one."""
    names = [option.name for option in NOT_YET]

    assert sorted(set(refusals.hinted())) == sorted(refusals.hinted())
    assert set(refusals.hinted()) <= set(names)
    for name in ("squash", "cache-to", "cache-from", "memory", "provenance", "volume"):
        with pytest.raises(UsageError) as caught:
            read(f"--{name}")
        assert caught.value.hint == refusals.hint(name) is not None


@pytest.mark.parametrize(
    ("words", "updated", "context"),
    [
        (["--update"], ("*",), "."),
        (["--update", "golang:1.21"], ("golang:1.21",), "."),
        (["--update", "golang", "--update=alpine", "app"], ("golang", "alpine"), "app"),
        (["--update", "./app"], ("*",), "./app"),
        (["--update", "/app"], ("*",), "/app"),
        (["--update", "--check", "app"], ("*",), "app"),
        (["app", "--update"], ("*",), "app"),
    ],
)
def test_a_word_after_update_is_a_name_unless_it_is_a_path(
    words: list[str], updated: tuple[str, ...], context: str
) -> None:
    chosen = command("lock")
    assert chosen
    found = argv.read(chosen, words)
    assert (found.all("update"), found.operand(".")) == (updated, context)
