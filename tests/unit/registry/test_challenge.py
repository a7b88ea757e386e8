"""WWW-Authenticate as servers write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.registry.challenge import challenges

HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"'
HUB_PARAMETERS = {
    "realm": "https://auth.docker.io/token",
    "service": "registry.docker.io",
    "scope": "repository:a/b:pull,push",
}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HUB, [("bearer", HUB_PARAMETERS)]),
        (f'{HUB}, Basic realm="hub"', [("bearer", HUB_PARAMETERS), ("basic", {"realm": "hub"})]),
        (f'Basic realm="a, b" , {HUB}', [("basic", {"realm": "a, b"}), ("bearer", HUB_PARAMETERS)]),
        ('bAsIc REALM = "x"', [("basic", {"realm": "x"})]),
        (r'Basic realm="a \"b\" \\ c"', [("basic", {"realm": 'a "b" \\ c'})]),
        ("Basic", [("basic", {})]),
        ("Bearer realm=https://a/t?x=1,service=s", [("bearer", {"realm": "https://a/t?x=1", "service": "s"})]),
        ("Negotiate, NTLM TlRMTVNT==, Basic realm=x", [("negotiate", {}), ("ntlm", {}), ("basic", {"realm": "x"})]),
        ('Digest n="1,2",qop=a Basic realm="z"', [("digest", {"n": "1,2", "qop": "a"}), ("basic", {"realm": "z"})]),
        ('Basic realm="first", realm="second"', [("basic", {"realm": "first"})]),
        ('Bearer realm="https://never-ends', [("bearer", {"realm": ""})]),
        (" , ,, ", []),
        ("", []),
        ('="x" y, Basic', [("basic", {})]),
    ],
)  # fmt: skip
def test_every_challenge_is_read(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(each.scheme, each.parameters) for each in challenges(header)] == expected


@given(st.text(alphabet='Bearer basic=",\\\t é01', max_size=60))
def test_anything_is_read_without_failing(header: str) -> None:
    assert all(each.scheme == each.scheme.lower() for each in challenges(header))


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=20))
def test_a_quoted_value_comes_back_as_it_was(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    first, second = challenges(f'Bearer realm="{quoted}", scope="s", Basic realm="r"')

    assert first.parameters == {"realm": value, "scope": "s"}
    assert second.parameters == {"realm": "r"}
