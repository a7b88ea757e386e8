"""What is told of a registry's refusal. The list to review is tests/golden/registry/refusals.txt."""

from __future__ import annotations

import json

import pytest

from builder.cli.errors import render
from builder.errors import AuthError, BuildError, NetworkError, RegistryError
from builder.net.client import Failed
from builder.net.reasons import NotTls, Refused, Unreached
from builder.registry.endpoint import Endpoint
from builder.registry.errors import at_step, may_mend, refusal
from tests.support.golden import check

HUB = Endpoint("https://registry-1.docker.io", "index.docker.io", "library/golang", "docker.io")
CORP = Endpoint("https://registry.corp:5000", "registry.corp:5000", "team/app", "registry.corp:5000")
MIRROR = Endpoint("http://cache:5000", "cache:5000", "hub/library/golang", "docker.io", mirror=True)
GET = "GET manifest library/golang:1.21"
PUSH = "PUT manifest team/app:1"
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html; charset=utf-8"}


def told(*errors: tuple[str, str]) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": text, "detail": {}} for code, text in errors]}).encode()


UNAUTHORIZED = told(("UNAUTHORIZED", "authentication required"))
DENIED = told(("DENIED", "requested access to the resource is denied"))
LIMIT = told(("TOOMANYREQUESTS", "You have reached your unauthenticated pull rate limit."))
LIMITS = {**JSON, "ratelimit-limit": "100;w=21600", "retry-after": "300"}
MANY = [("BLOB_UNKNOWN", f"blob {number} unknown to registry") for number in range(5)]

# What is told of each: endpoint, step, status, headers, body, whether credentials were sent.
CASES: list[tuple[Endpoint, str, int, dict[str, str], bytes, bool]] = [
    (HUB, GET, 401, JSON, UNAUTHORIZED, False),
    (HUB, GET, 401, JSON, UNAUTHORIZED, True),
    (CORP, PUSH, 403, JSON, DENIED, False),
    (CORP, PUSH, 403, JSON, DENIED, True),
    (CORP, PUSH, 403, HTML, b"<html>Access denied</html>", False),
    (HUB, GET, 404, JSON, told(("MANIFEST_UNKNOWN", "manifest unknown")), False),
    (MIRROR, GET, 404, JSON, told(("MANIFEST_UNKNOWN", "manifest unknown")), False),
    (CORP, "GET tags team/app", 404, JSON, told(("NAME_UNKNOWN", "repository name not known to registry")), False),
    (HUB, "GET blob sha256:0123456789ab", 404, JSON, told(("BLOB_UNKNOWN", "blob unknown to registry")), False),
    (CORP, "GET referrers team/app", 404, HTML, b"<html>404</html>", False),
    (HUB, GET, 429, LIMITS, LIMIT, False),
    (CORP, GET, 429, JSON, b"", True),
    (CORP, GET, 500, JSON, told(("UNKNOWN", "unknown error")), False),
    (CORP, GET, 502, HTML, b"<html>Bad Gateway</html>", False),
    (CORP, GET, 407, HTML, b"<html>", False),
    (CORP, "HEAD blob sha256:0123456789ab", 503, {}, b"", False),
    (CORP, PUSH, 400, JSON, told(("MANIFEST_INVALID", "manifest invalid"), ("TAG_INVALID", "")), False),
    (CORP, PUSH, 400, JSON, told(*MANY), False),
    (MIRROR, GET, 400, {"content-type": "text/plain"}, b"Client sent an HTTP request to an HTTPS server.\n", False),
    (CORP, PUSH, 405, JSON, told(("UNSUPPORTED", "The operation is unsupported.")), True),
    (CORP, "PATCH upload team/app", 413, HTML, b"<html>Request Entity Too Large</html>", True),
    (CORP, PUSH, 415, JSON, b"{}", True),
    (CORP, "PATCH upload team/app", 416, {}, b"", True),
    (CORP, GET, 418, {"content-type": "text/plain"}, b"I'm a teapot", False),
    (CORP, GET, 999, {}, b"", False),
    (CORP, "GET token", 400, JSON, b'{"details": "invalid scope"}', False),
]


def test_each_refusal_names_host_step_and_status_and_what_to_do() -> None:
    errors = [refusal(*case[:5], known=case[5]) for case in CASES]

    check("registry/refusals.txt", "\n".join(f"exit {error.exit_status}\n{render(error)}" for error in errors))
    assert all(error.message.count("\n") == 0 and error.hint for error in errors)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RegistryError),
        (401, AuthError),
        (403, AuthError),
        (404, RegistryError),
        (409, RegistryError),
        (429, NetworkError),
        (500, NetworkError),
        (504, NetworkError),
        (507, NetworkError),
    ],
)
def test_the_exit_status_is_that_of_the_kind(status: int, kind: type[BuildError]) -> None:
    assert type(refusal(HUB, GET, status, {}, b"")) is kind


def test_what_a_little_patience_may_mend_is_known() -> None:
    assert [status for status in range(100, 600) if may_mend(status)] == [408, 425, 429, 500, 502, 503, 504]


HOSTILE = [
    b"",
    b"\x00\xff\xfe",
    b"[" * 100_000,
    b'{"errors": {}}',
    b'{"errors": [1, null, {"code": 1, "message": []}]}',
    b'{"errors": [{"code": "X", "message": "' + b"a" * 100_000 + b'"}]}',
    json.dumps({"errors": [{"code": "\x1b[31mX", "message": "a\nb\r\u202ec\x00"}]}).encode(),
    json.dumps({"message": ["a"]}).encode(),
    b'{"errors": [' + b"1" * 5000 + b"]}",
    b"<html>" * 1000,
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_no_answer_makes_the_line_long_or_unprintable(body: bytes) -> None:
    for kind in (JSON, HTML, {"content-type": "\x1b[2J" + "x" * 10_000}, {}):
        error = refusal(HUB, GET, 400, kind, body)
        assert error.message.isprintable()
        assert len(error.message) < 400


def test_limits_that_are_no_numbers_are_not_believed() -> None:
    headers = {"ratelimit-limit": "\x1b[2J;w=", "retry-after": "9" * 50}
    error = refusal(HUB, GET, 429, headers, b"")

    assert error.hint is not None
    assert error.hint.isprintable()
    assert len(error.hint) < 300


def test_a_credential_that_a_registry_repeats_is_masked() -> None:
    body = told(("UNAUTHORIZED", "bad header: Bearer abcdefgh.ijkl-mn and Basic dXNlcjpwYXNz"))

    assert refusal(HUB, GET, 401, JSON, body).message.endswith("bad header: Bearer **** and Basic ****")


def broken(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught, at_step(CORP, GET):
        raise error
    return caught.value


def test_an_exchange_that_breaks_is_told_like_a_refusal() -> None:
    """Where another server broke, to which the registry sent us, that one is named as well."""
    near = Unreached("https://registry.corp:5000/v2/x", "no answer in time")
    far = Refused("https://storage.corp/x", "connection refused")
    lasting = NotTls("registry.corp:5000", "the server does not speak TLS", "do this")

    told = broken(Failed(near, 3.0))
    assert isinstance(told, Failed)
    assert (str(told.error), told.wait) == (f"registry.corp:5000: {GET}: no answer in time", 3.0)
    assert str(broken(told)) == str(told)
    assert str(broken(Failed(far))) == f"registry.corp:5000: {GET}: at storage.corp: connection refused"
    assert (str(broken(lasting)), getattr(broken(lasting), "hint", None)) == (
        f"registry.corp:5000: {GET}: the server does not speak TLS",
        "do this",
    )
    other = Failed(RegistryError("x"))
    assert str(broken(other)) == "x"
