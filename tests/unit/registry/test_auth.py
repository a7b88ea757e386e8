"""Basic and bearer with real registries, and with a made-up one for what no real one does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.errors import AuthError, NetworkError
from builder.oci.reference import parse_reference
from builder.registry.pull import pull
from builder.registry.push import push
from builder.registry.tokens import _life
from builder.store.store import Store
from tests.support.asking import Asker, Given, Start, asker, bearer, start
from tests.support.processes import wait_until
from tests.support.registries import PASSWORD, USER, Registry, basic

__all__ = ["asker", "start"]  # fixtures


def test_a_password_is_asked_for_once(asker: Asker, password_registry: Registry) -> None:
    password_registry.push("auth/basic")
    asker.knows(password_registry.host)
    asking = asker.open()
    before = len(password_registry.requests())
    for _ in range(3):
        assert asker.tags(f"{password_registry.host}/auth/basic", asking) > 10
    wait_until(lambda: len(password_registry.requests()) >= before + 4)
    tags = [each for each in password_registry.requests()[before:] if "tags/list" in each]
    assert len(tags) == 4  # one without credentials, and three with


def test_no_password_and_a_wrong_one_are_told_apart(asker: Asker, password_registry: Registry) -> None:
    host = password_registry.host
    error = asker.fails(f"{host}/auth/basic")
    assert isinstance(error, AuthError) and error.exit_status == 3
    assert error.message == f"{host}: GET tags: 401 Unauthorized: it wants a user and a password"
    assert error.hint == f"rbuild login {host}"

    asker.knows(host, password="wrong")
    error = asker.fails(f"{host}/auth/basic")
    file = asker.home / ".docker/config.json"
    assert error.message == f"{host}: GET tags: 401 Unauthorized: the login of ann ({file}) is refused"
    assert error.hint == f"rbuild login {host}"

    asker.options["creds"] = (USER, "wrong")
    assert asker.fails(f"{host}/auth/basic").hint == "correct --creds"


def test_a_token_is_fetched_once_for_a_scope(asker: Asker, token_registry: Registry) -> None:
    token_registry.push("auth/bearer")
    asker.knows(token_registry.host)
    asking = asker.open()
    for _ in range(3):
        asker.tags(f"{token_registry.host}/auth/bearer", asking)

    (asked,) = token_registry.tokens.asked
    assert asked.authorization == basic(USER, PASSWORD)
    assert asked.scopes == ["repository:auth/bearer:pull"]
    assert dict(asked.query) == {
        "service": "registry.test",
        "scope": "repository:auth/bearer:pull",
        "account": USER,
        "client_id": "rbuild",
    }


def test_many_threads_fetch_one_token(asker: Asker, token_registry: Registry) -> None:
    token_registry.push("auth/threads")
    asker.knows(token_registry.host)
    asking = asker.open()
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(lambda _: asker.tags(f"{token_registry.host}/auth/threads", asking), range(8)))

    assert min(sizes) > 10
    assert len(token_registry.tokens.asked) == 1


def test_scopes_are_joined(asker: Asker, token_registry: Registry) -> None:
    """Pull and push of one repository, and pull of those that blobs are mounted from, in one token."""
    token_registry.push("auth/scopes")
    asker.knows(token_registry.host)
    asking = asker.open()
    endpoint = asking.routes.push(parse_reference(f"{token_registry.host}/auth/scopes"))
    with asking.request(
        endpoint, "GET", "tags/list", step="GET tags", actions="pull,push", also=("auth/other",)
    ) as answer:
        answer.all(1 << 20)

    (asked,) = token_registry.tokens.asked
    assert asked.scopes == ["repository:auth/scopes:pull,push", "repository:auth/other:pull"]


def test_nobody_gets_a_token_for_what_is_public_and_no_more(asker: Asker, token_registry: Registry) -> None:
    host = token_registry.host
    token_registry.push("public/image")
    token_registry.push("private/image")

    assert asker.tags(f"{host}/public/image") > 10
    assert [asked.authorization for asked in token_registry.tokens.asked] == [None]
    error = asker.fails(f"{host}/private/image")
    assert isinstance(error, AuthError)
    assert error.message == (
        f"{host}: GET tags: 401 Unauthorized: without a login there is no right to pull private/image"
    )
    assert error.hint == f"check the name; if it is private: rbuild login {host}"


def test_a_user_without_the_right_is_told_so(asker: Asker, token_registry: Registry) -> None:
    host = token_registry.host
    token_registry.push("auth/readonly")
    token_registry.tokens.permitted = lambda user, repository: {"pull"}
    asker.knows(host)
    asking = asker.open()
    endpoint = asking.routes.push(parse_reference(f"{host}/auth/readonly"))
    with (
        pytest.raises(AuthError, match=r"the login of ann \(.*\) has no right to pull and push auth/readonly"),
        asking.request(endpoint, "POST", "blobs/uploads/", step="POST upload", actions="pull,push"),
    ):
        pass
    assert len(token_registry.tokens.asked) == 1


def test_a_layer_that_may_not_be_borrowed_is_sent(asker: Asker, token_registry: Registry, tmp_path: Path) -> None:
    """Who may push to one repository need not have a right to the other that has the layer."""
    host, tokens = token_registry.host, token_registry.tokens
    token_registry.push("auth/lender")
    asker.knows(host)
    with Store.open(str(tmp_path / "store")) as store:
        descriptor = pull(asker.open(), parse_reference(f"{host}/auth/lender"), store)
        tokens.permitted = lambda user, repository: {"pull", "push"} if repository == "auth/own" else set()
        pushed = push(asker.open(), parse_reference(f"{host}/auth/own:1"), store, descriptor)

    assert (pushed.digest, pushed.uploaded, pushed.mounted) == (descriptor.digest, 2, 0)
    assert [asked for asked in tokens.asked if "repository:auth/lender:pull" in asked.scopes]


def test_an_identity_token_is_changed_for_others(asker: Asker, token_registry: Registry) -> None:
    token_registry.push("auth/identity")
    asker.knows(token_registry.host, identitytoken="an identity token")
    token_registry.tokens.field = "access_token"
    assert asker.tags(f"{token_registry.host}/auth/identity") > 10

    (asked,) = token_registry.tokens.asked
    assert asked.method == "POST" and asked.authorization is None
    form = {"grant_type": "refresh_token", "refresh_token": "an identity token", "service": "registry.test"}
    assert dict(asked.query) == {**form, "client_id": "rbuild", "scope": "repository:auth/identity:pull"}


def test_a_token_of_the_file_is_shown_as_it_is(asker: Asker, token_registry: Registry) -> None:
    token_registry.push("auth/given")
    token = token_registry.tokens.token(USER, ["repository:auth/given:pull"])
    asker.knows(token_registry.host, registrytoken=token)
    assert asker.tags(f"{token_registry.host}/auth/given") > 10
    assert token_registry.tokens.asked == []

    error = asker.fails(f"{token_registry.host}/auth/other")
    assert "no right to pull auth/other" in error.message


def test_a_token_server_that_refuses_is_named(asker: Asker, token_registry: Registry) -> None:
    """Its words are not shown: this one repeats what it was sent."""
    host, realm = token_registry.host, token_registry.tokens.realm
    asker.knows(host, identitytoken="an identity token that was revoked")
    error = asker.fails(f"{host}/auth/a")
    assert isinstance(error, AuthError)
    what = f"{host}: token to pull auth/a from {realm}"
    assert error.message == f"{what}: 401 Unauthorized: the token ({asker.home}/.docker/config.json) is refused"
    assert error.hint == f"rbuild login {host}"

    asker.knows(host, password="wrong")
    assert "the login of ann" in asker.fails(f"{host}/auth/a").message


def test_a_busy_token_server_is_asked_again(asker: Asker, token_registry: Registry) -> None:
    token_registry.push("auth/busy")
    asker.knows(token_registry.host)
    token_registry.tokens.failures = [503, 429]
    assert asker.tags(f"{token_registry.host}/auth/busy") > 10

    token_registry.tokens.failures = [500] * 9
    error = asker.fails(f"{token_registry.host}/auth/busy2")
    assert isinstance(error, NetworkError) and error.exit_status == 4
    assert "500 Internal Server Error" in error.message and "try again later" in (error.hint or "")


def test_a_token_at_its_end_is_changed_for_a_new_one(asker: Asker, token_registry: Registry) -> None:
    token_registry.push("auth/end")
    asker.knows(token_registry.host)
    tokens, asking = token_registry.tokens, asker.open()
    tokens.told = 0.04
    before = len(token_registry.requests())
    asker.tags(f"{token_registry.host}/auth/end", asking)
    time.sleep(0.05)
    asker.tags(f"{token_registry.host}/auth/end", asking)

    assert len(tokens.asked) == 2
    wait_until(lambda: len(token_registry.requests()) >= before + 3)
    assert len(token_registry.requests()) == before + 3  # the second time it is not asked without


def test_a_token_that_is_not_good_any_more_is_changed_for_a_new_one(asker: Asker, start: Start) -> None:
    """Whatever was said of its life: a long transfer outlives it, and a server may forget it."""
    good = ["first"]
    tokens = start(lambda path, seen: Given(200, body=f'{{"token": "{good[0]}", "expires_in": 900}}'.encode()))

    def answer(path: str, seen: str | None) -> Given:
        return Given(200, body=b"tags") if seen == f"Bearer {good[0]}" else bearer(f"{tokens.url}/token")

    registry = start(answer)
    asking = asker.open()
    for token in ("first", "second"):
        good[0] = token
        assert asker.tags(f"{registry.host}/a", asking) == 4
    assert registry.seen() == [None, "Bearer first", "Bearer first", "Bearer second"]
    assert len(tokens.asked) == 2


@pytest.mark.parametrize(
    ("answer", "date", "life"),
    [
        ({}, "", 45),
        ({"expires_in": 300}, "", 270),
        ({"expires_in": 0}, "", 45),
        ({"expires_in": "300"}, "", 45),
        ({"expires_in": True}, "", 0.75),
        ({"expires_in": -5}, "", 45),
        ({"expires_in": 1e30}, "", 86370),
        ({"expires_in": float("nan")}, "", 45),
        ({"expires_in": 300, "issued_at": "2009-11-10T23:00:00Z"}, "Tue, 10 Nov 2009 23:01:40 GMT", 170),
        ({"expires_in": 300, "issued_at": "2009-11-10T23:00:00.123456789Z"}, "Tue, 10 Nov 2009 23:09:00 GMT", 0),
        ({"expires_in": 300, "issued_at": "2009-11-10T23:00:00Z"}, "", 270),
        ({"expires_in": 300, "issued_at": "2009-11-11T23:00:00Z"}, "Tue, 10 Nov 2009 23:01:40 GMT", 270),
        ({"expires_in": 300, "issued_at": "yesterday"}, "Tue, 10 Nov 2009 23:01:40 GMT", 270),
    ],
)
def test_the_life_of_a_token(answer: dict[str, object], date: str, life: float) -> None:
    """60 seconds if nothing is said, with a margin, and by the server's clock alone: ours may be wrong."""
    assert _life(answer, {"date": date} if date else {}) == life


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"<html>log in to the network", "the answer is not JSON"),
        (b'{"token": ""}', "the answer holds no token"),
        (b'{"token": 7}', "the answer holds no token"),
        (b'{"token": "a\\r\\nX-Evil: 1"}', "the answer holds no token"),
        (b'{"token": "a", "token": "b"}', "the answer is not JSON"),
        (b'{"access_token": "\\u00e9"}', "the answer holds no token"),
    ],
)
def test_an_answer_without_a_token(asker: Asker, start: Start, body: bytes, fault: str) -> None:
    tokens = start(lambda path, seen: Given(200, body=body))
    registry = start(lambda path, seen: bearer(f"{tokens.url}/token"))
    error = asker.fails(f"{registry.host}/a")
    assert isinstance(error, NetworkError)
    assert fault in error.message
    assert len(registry.asked) == 1


@pytest.mark.parametrize(
    ("challenge", "fault"),
    [
        ({"WWW-Authenticate": "Negotiate, Digest a=b"}, "it wants Negotiate, Digest, which is not supported"),
        ({}, "it does not say what it wants"),
        ({"WWW-Authenticate": "Bearer service=x"}, "it wants Bearer, which is not supported"),
        ({"WWW-Authenticate": 'Bearer realm="/token"'}, "is no address"),
        ({"WWW-Authenticate": 'Bearer realm="ftp://127.0.0.1/"'}, "is no address"),
        ({"WWW-Authenticate": 'Bearer realm="http://u:p@127.0.0.1/t"'}, "is more than an address: http://127.0.0.1/t"),
    ],
)
def test_a_challenge_that_cannot_be_met(asker: Asker, start: Start, challenge: dict[str, str], fault: str) -> None:
    registry = start(lambda path, seen: Given(401, challenge))
    asker.knows(registry.host)
    error = asker.fails(f"{registry.host}/a")
    assert isinstance(error, AuthError)
    assert fault in error.message


def test_bearer_is_preferred_to_basic(asker: Asker, start: Start) -> None:
    def answer(path: str, seen: str | None) -> Given:
        both = {"WWW-Authenticate": f'Basic realm="x", Bearer realm="{registry.url}/token"'}
        if path.startswith("/token"):
            return Given(200, body=b'{"token": "t"}')
        return Given(200, body=b"{}") if seen == "Bearer t" else Given(401, both)

    registry = start(answer)
    asker.knows(registry.host)
    assert asker.tags(f"{registry.host}/a") == 2
