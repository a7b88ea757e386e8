"""`RUN --mount=` (the table of dockerfile-language 1.8)."""

from __future__ import annotations

import pytest

from builder.dockerfile.instructions import Mount
from builder.dockerfile.mounts import parse_mount, resolve, split_csv
from builder.dockerfile.words import process_word
from builder.errors import DockerfileError


def mount(text: str, **env: str) -> Mount:
    return resolve(parse_mount(text), lambda value: process_word(value, env))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("target=/a", Mount("bind", target="/a", readonly=True)),
        ("type=bind,dst=a,src=b,from=c,rw", Mount("bind", target="a", source="b", from_="c")),
        ("destination=/a,ro=false", Mount("bind", target="/a")),
        ("target=/a,readwrite=false", Mount("bind", target="/a", readonly=True)),
        ("Type=BIND,TARGET=/A", Mount("bind", target="/A", readonly=True)),
        ("type=cache,target=/a", Mount("cache", target="/a", sharing="shared", mode=0o755, uid=0, gid=0)),
        (
            "type=cache,id=i,target=/a,sharing=LOCKED,mode=0700,uid=1,gid=2,from=b,source=c,ro",
            Mount("cache", "/a", "c", "b", "i", True, "locked", None, 0o700, 1, 2),
        ),
        ("type=tmpfs,target=/a,size=64m", Mount("tmpfs", target="/a", size=64 << 20)),
        ("type=tmpfs,target=/a,size=1.5GiB", Mount("tmpfs", target="/a", size=3 << 29)),
        (
            "type=secret,id=a/b",
            Mount("secret", "/run/secrets/b", id="a/b", readonly=True, mode=0o400, uid=0, gid=0),
        ),
        ("type=secret,target=/x/y", Mount("secret", "/x/y", id="y", readonly=True, mode=0o400, uid=0, gid=0)),
        (
            "type=secret,source=s,required",
            Mount("secret", "/run/secrets/s", id="s", readonly=True, mode=0o400, uid=0, gid=0, required=True),
        ),
        (
            "type=secret,id=i,env=E",
            Mount("secret", None, id="i", readonly=True, mode=0o400, uid=0, gid=0, env="E"),
        ),
        ("type=ssh", Mount("ssh", id="default", readonly=True, mode=0o600, uid=0, gid=0)),
        (
            "type=ssh,id=i,required=1,mode=640,target=/s",
            Mount("ssh", "/s", id="i", readonly=True, mode=0o640, uid=0, gid=0, required=True),
        ),
        ('type=bind,"source=a,b",target=/c', Mount("bind", target="/c", source="a,b", readonly=True)),
    ],
)
def test_mount(text: str, expected: Mount) -> None:
    assert mount(text) == expected


def test_values_expand_later() -> None:
    """Every value but that of `from` may hold variables, the type too."""
    assert mount("type=$t,target=/a/${n:-x},mode=$m,uid=$u", t="cache", m="600", u="5") == Mount(
        "cache", target="/a/x", sharing="shared", mode=0o600, uid=5, gid=0
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tpye=bind", "unexpected mount option 'tpye' in 'tpye=bind'"),
        ("target=/a,", "unexpected mount option '' in ''"),
        ("target", "invalid mount option 'target'"),
        ("type=bnd,target=/a", "unsupported mount type 'bnd'"),
        ("from=$x,target=/a", "'from' of a mount doesn't support variable expansion"),
        ("type=bind", "a bind mount needs a target"),
        ("type=cache", "a cache mount needs a target"),
        ("type=tmpfs", "a tmpfs mount needs a target"),
        ("target=/", "invalid mount target '/'"),
        ("target=//", "invalid mount target '//'"),
        ("target=/a,mode=1", "unexpected key 'mode' for mount type 'bind'"),
        ("type=tmpfs,target=/a,uid=1", "unexpected key 'uid' for mount type 'tmpfs'"),
        ("target=/a,size=1", "unexpected key 'size' for mount type 'bind'"),
        ("target=/a,sharing=locked", "unexpected key 'sharing' for mount type 'bind'"),
        ("target=/a,required", "unexpected key 'required' for mount type 'bind'"),
        ("type=secret,id=a,from=b", "unexpected key 'from' for mount type 'secret'"),
        ("type=ssh,source=a", "unexpected key 'source' for mount type 'ssh'"),
        ("type=cache,target=/a,env=A", "unexpected key 'env' for mount type 'cache'"),
        ("type=secret", "a secret mount needs an id, a source or a target"),
        ("type=secret,id=a,source=b", "a secret mount cannot have both id and source"),
        ("type=cache,target=/a,sharing=x", "unsupported mount sharing 'x'"),
        ("type=cache,target=/a,mode=9", "invalid value '9' for mode"),
        ("type=cache,target=/a,uid=-1", "invalid value '-1' for uid"),
        ("type=cache,target=/a,gid=4294967296", "invalid value '4294967296' for gid"),
        ("type=tmpfs,target=/a,size=x", "invalid value for size: 'x'"),
        ("target=/a,ro=maybe", "invalid value for readonly: 'maybe'"),
        ('target="a', "misplaced double quote"),
        ('"target=a"x', "misplaced double quote"),
    ],
)
def test_mount_errors(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        mount(text)

    assert caught.value.message.startswith(message)


def test_names_are_checked_before_values_are_known() -> None:
    with pytest.raises(DockerfileError, match="unexpected mount option"):
        parse_mount("target=$x,nothing=1")


@pytest.mark.parametrize(
    ("text", "fields"),
    [("", [""]), ("a,b", ["a", "b"]), ('"a,b",c', ["a,b", "c"]), ('"a""b"', ['a"b']), ("a,,b", ["a", "", "b"])],
)
def test_csv(text: str, fields: list[str]) -> None:
    assert split_csv(text, "") == fields
