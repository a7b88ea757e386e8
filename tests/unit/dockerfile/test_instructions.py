"""Every instruction, parsed on its own (dockerfile-language 1.4 to 1.10)."""

from __future__ import annotations

from typing import Any

import pytest

from builder.dockerfile import instructions as ins
from builder.dockerfile.parser import parse, parse_trigger
from builder.errors import DockerfileError, Span


def one(line: str) -> Any:
    return parse(f"FROM scratch\n{line}".encode("utf-8", "surrogateescape"), "D").instructions[1]


def fields(line: str) -> tuple[Any, ...]:
    """What the instruction says, without its place."""
    return tuple(one(line)[2:])


def refused(line: str) -> DockerfileError:
    with pytest.raises(DockerfileError) as caught:
        one(line)

    assert caught.value.span is not None
    assert caught.value.span.first >= 2
    return caught.value


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("FROM a", ("a", None, None)),
        ("from a:1@sha256:x AS Build", ("a:1@sha256:x", None, "build")),
        ("FROM --platform=$P ${I} as x-y_z.0", ("${I}", "$P", "x-y_z.0")),
        ('FROM "quoted"', ('"quoted"', None, None)),
    ],
)
def test_from(line: str, expected: tuple[Any, ...]) -> None:
    assert fields(line) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a AS b c", "FROM requires either one or three arguments"),
        ("FROM a IS b", "expected AS, not IS"),
        ("FROM a AS 1b", "invalid name for build stage: '1b'"),
        ("FROM a AS b/c", "invalid name for build stage: 'b/c'"),
        ("FROM --plattform=x a", "unknown flag: --plattform"),
        ("FROM --platform a", "missing a value on flag: --platform"),
    ],
)
def test_from_errors(line: str, message: str) -> None:
    assert refused(line).message == message


def test_arg() -> None:
    assert fields("ARG a b= c=\"d e\" f='$g'") == ((("a", None), ("b", ""), ("c", '"d e"'), ("f", "'$g'")),)
    assert refused("ARG").message == "ARG requires at least one argument"
    assert refused("ARG =x").message == "ARG names can not be blank"


def test_env_and_label() -> None:
    assert fields('ENV a=b "c"=d') == ((("a", "b"), ('"c"', "d")), False)
    assert fields("LABEL a b c") == ((("a", "b c"),), True)
    assert refused("ENV --x a=b").message == "unknown flag: --x"


@pytest.mark.parametrize(
    ("line", "exec_form", "argv"),
    [
        ("a && b", False, ("a && b",)),
        ('["a", "b"]', True, ("a", "b")),
        ("['a']", False, ("['a']",)),
        ("[]", True, ()),
        ("", False, ("",)),
    ],
)
@pytest.mark.parametrize("name", ["CMD", "ENTRYPOINT"])
def test_commands(name: str, line: str, exec_form: bool, argv: tuple[str, ...]) -> None:
    assert fields(f"{name} {line}") == (exec_form, argv)


def test_run() -> None:
    assert fields("RUN a  b") == ((), "default", "sandbox", (), False, ("a  b",), (), False)
    assert fields('RUN --network=none --security=insecure ["a"]')[1:6] == ("none", "insecure", (), True, ("a",))
    assert refused("RUN []").message == "RUN [] has no command"
    assert refused("RUN --network=hots x").hint == "did you mean host?"
    assert refused("RUN --security=x y").message == "invalid security mode 'x'"
    assert refused("RUN --network=host --network=none x").message == "duplicate flag specified: --network"


@pytest.mark.parametrize(
    ("flag", "device"),
    [
        ("vendor/class", ins.Device("vendor/class", False)),
        ("name=vendor/class=dev,required", ins.Device("vendor/class=dev", True)),
        ("vendor/class=*,required=false", ins.Device("vendor/class=*", False)),
    ],
)
def test_run_device(flag: str, device: ins.Device) -> None:
    assert one(f"RUN --device={flag} x").devices == (device,)


@pytest.mark.parametrize("flag", ["a,b", "required", "a,required=maybe", "''"])
def test_run_device_errors(flag: str) -> None:
    refused(f"RUN --device={flag} x")


@pytest.mark.parametrize(
    ("line", "lone", "script"),
    [
        ("RUN <<E\na $b\nE", True, "a $b\n"),
        ("RUN <<-'E'\n\ta\n\tE", True, "a\n"),
        ("RUN cat <<E\na\nE", False, "cat <<E\na\nE"),
        ("RUN <<A cat 3<<B\na\nA\nb\nB", False, "<<A cat 3<<B\na\nA\nb\nB"),
        ("RUN plain", False, "plain"),
    ],
)
def test_run_script(line: str, lone: bool, script: str) -> None:
    """A lone heredoc is the script; anything more goes to the shell as it is written."""
    run = one(line)

    assert run.lone_heredoc is lone
    assert run.script == script


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("COPY a b", (("a",), (), "b", None, None, None, False, False, ())),
        ('COPY ["a b", "c", "/d"]', (("a b", "c"), (), "/d", None, None, None, False, False, ())),
        (
            "COPY --from=Base --chown=$u:g --chmod=u+x --link --parents=TRUE --exclude=*.o --exclude=!a x /",
            (("x",), (), "/", "Base", "$u:g", "u+x", True, True, ("*.o", "!a")),
        ),
        ("COPY --link=false -- --x /", (("--x",), (), "/", None, None, None, False, False, ())),
        ('COPY ["<<E", "/"]', (("<<E",), (), "/", None, None, None, False, False, ())),
    ],
)
def test_copy(line: str, expected: tuple[Any, ...]) -> None:
    assert fields(line) == expected


def test_add() -> None:
    assert fields("ADD --checksum=sha256:x --keep-git-dir --unpack=false https://a/b /c") == (
        *(("https://a/b",), (), "/c", None, None, False, ()),
        *("sha256:x", True, False),
    )
    assert fields("ADD a b")[-2:] == (None, None)


def test_copy_heredocs() -> None:
    copy = one("COPY <<A b <<-'C' /d/\n1\nA\n\t2\n\tC\n")

    assert copy.sources == ("b",)
    assert [(doc.name, doc.content, doc.expand) for doc in copy.heredocs] == [("A", "1\n", True), ("C", "2\n", False)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("COPY", "COPY requires at least two arguments, but none was provided"),
        ("COPY a", "COPY requires at least two arguments, but only one was provided"),
        ('ADD ["a"]', "ADD requires at least two arguments, but only one was provided"),
        ("COPY a <<E\nE", "COPY cannot accept a heredoc as a destination"),
        ("COPY << E /\nE", "COPY cannot tell its heredocs from its paths"),
        ("COPY <<'E F' /\nE F", "COPY cannot tell its heredocs from its paths"),
        ("COPY --from=$x a b", "--from doesn't support variable expansion"),
        ("COPY --link= a b", "missing a value on flag: --link"),
        ("COPY --link=1 a b", "expecting boolean value for flag --link, not: 1"),
        ("COPY --checksum=x a b", "unknown flag: --checksum"),
        ("ADD --from=x a b", "unknown flag: --from"),
        ("ADD --parents a b", "unknown flag: --parents"),
        ("ADD --checksum=x a b c", "--checksum can be given for exactly one source"),
        ("COPY --chown=1 --chown=2 a b", "duplicate flag specified: --chown"),
        ("COPY [1, 2]", "a JSON array of arguments must hold strings only"),
    ],
)
def test_copy_errors(line: str, message: str) -> None:
    assert refused(line).message.startswith(message)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("WORKDIR /a b", "/a b"),
        ("USER $u:g", "$u:g"),
        ("STOPSIGNAL SIGTERM", "SIGTERM"),
        ("MAINTAINER a <b@c>", "a <b@c>"),
    ],
)
def test_one_argument(line: str, value: str) -> None:
    assert fields(line) == (value,)
    name = line.split(maxsplit=1)[0]
    assert refused(name).message == f"{name} requires exactly one argument"
    assert refused(f"{name} --x y").message == "unknown flag: --x"


def test_lists() -> None:
    assert fields("EXPOSE 80 $p/udp 1-2") == (("80", "$p/udp", "1-2"),)
    assert fields("VOLUME /a $b") == (("/a", "$b"),)
    assert fields('VOLUME ["/a b"]') == (("/a b",),)
    assert fields('SHELL ["/bin/sh", "-ec"]') == (("/bin/sh", "-ec"),)
    assert refused("EXPOSE").message == "EXPOSE requires at least one argument"
    assert refused("VOLUME []").message == "VOLUME requires at least one argument"
    assert refused('VOLUME [""]').message == "VOLUME can not be an empty string"
    assert refused("SHELL /bin/sh").message == "SHELL requires a JSON array of at least one string"
    assert refused("SHELL []").message == "SHELL requires a JSON array of at least one string"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("NONE", (True, False, (), 0, 0, 0, 0, 0)),
        ("cmd a b", (False, False, ("a b",), 0, 0, 0, 0, 0)),
        ('CMD ["a"]', (False, True, ("a",), 0, 0, 0, 0, 0)),
        (
            "--interval=1m30s --timeout=1.5s --start-period=0 --start-interval=1ms --retries=3 CMD a",
            (False, False, ("a",), 90 * 10**9, 15 * 10**8, 0, 10**6, 3),
        ),
    ],
)
def test_healthcheck(line: str, expected: tuple[Any, ...]) -> None:
    prefix, _, kind = line.rpartition("--retries=3 ")
    assert fields(f"HEALTHCHECK {prefix}{'--retries=3 ' if prefix else ''}{kind}") == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "HEALTHCHECK requires at least one argument"),
        ("NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("CMD", "missing command after HEALTHCHECK CMD"),
        ("CMD []", "missing command after HEALTHCHECK CMD"),
        ("CONNECT TCP", "unknown type 'CONNECT' in HEALTHCHECK"),
        ("--interval=1 CMD x", "invalid duration for --interval: '1'"),
        ("--timeout=1us CMD x", "--timeout cannot be less than 1ms: '1us'"),
        ("--timeout=-1s CMD x", "--timeout cannot be less than 1ms: '-1s'"),
        ("--interval=99999999999h CMD x", "invalid duration for --interval: '99999999999h'"),
        ("--retries=-1 CMD x", "--retries must be a number, 0 or more: '-1'"),
        ("--retries=x CMD x", "--retries must be a number, 0 or more: 'x'"),
    ],
)
def test_healthcheck_errors(line: str, message: str) -> None:
    assert refused(f"HEALTHCHECK {line}").message == message


@pytest.mark.parametrize(
    ("line", "trigger"),
    [
        ("ONBUILD RUN a", "RUN a"),
        ("onbuild copy --from=x . /", "copy --from=x . /"),
        ("ONBUILD RUN cat <<E\na\nE", "RUN cat <<E\na\nE"),
        ("ONBUILD ENV a=$b \\\n c=d", "ENV a=$b  c=d"),
    ],
)
def test_onbuild(line: str, trigger: str) -> None:
    """The trigger is text, heredoc bodies included, and parses again into what it says."""
    onbuild = one(line)

    assert onbuild.trigger == trigger
    assert parse_trigger(trigger, Span("child", 7, 7)).span == Span("child", 7, 7)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD RUN x", "chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD from x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("ONBUILD RUNN x", "unknown instruction: RUNN"),
        ("ONBUILD COPY --form=x a b", "unknown flag: --form"),
    ],
)
def test_onbuild_errors(line: str, message: str) -> None:
    assert refused(line).message == message


@pytest.mark.parametrize("text", ["", "# nothing", "RUN a\nRUN b", "RUN <<E", "FROM x", "RUNN x"])
def test_trigger_errors_blame_the_place_given(text: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_trigger(text, Span("child", 7, 7))

    assert caught.value.span == Span("child", 7, 7)


@pytest.mark.parametrize(
    ("source", "place", "hint"),
    [
        ("FROM a\n  RUNN x", "D:2:3", "did you mean RUN?"),
        ("FROM a\nRUN \\\n  --moutn=x \\\n y", "D:3:3", "did you mean mount?"),
        ("FROM a\nCOPY --from=b \\\n  --chwon=1 a b", "D:3:3", "did you mean chown?"),
        ("FROM a\nRUN --mount=tpye=cache x", "D:2:13", "did you mean type?"),
        ("FROM a\nRUN --mount=type=cahce,target=/x y", "D:2:18", "did you mean cache?"),
        ("RUN x", "D:1", "only ARG may stand before the first FROM"),
        ("ARG x\nENV a=b\nFROM y", "D:2", "only ARG may stand before the first FROM"),
    ],
)
def test_errors_say_where_and_what_was_meant(source: str, place: str, hint: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(source.encode(), "D")

    assert str(caught.value.span) == place
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "file with no instructions"),
        ("# comment\n\n", "file with no instructions"),
        ("ARG a", "dockerfile contains no stages to build"),
    ],
)
def test_files_without_stages(source: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(source.encode(), "D")

    assert caught.value.message == message
    assert caught.value.span is not None


def test_excerpt() -> None:
    dockerfile = parse(b"FROM a\r\nRUN b \\\r\n c\r\n", "D")

    assert list(dockerfile.excerpt(dockerfile.instructions[1].span)) == [(2, "RUN b \\"), (3, " c")]
