"""Mirrors that are real servers: who is asked, who is passed over and why, and to whom credentials are shown."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.errors import AuthError, NetworkError, RegistryError
from builder.net.client import Client, Patience
from builder.oci.reference import parse_reference
from builder.registry.options import RegistryOptions
from builder.registry.registry import Registry
from tests.support.authority import Authority
from tests.support.registries import PASSWORD, USER
from tests.support.registries import Registry as Server

Open = Callable[..., Registry]
QUICK = Patience(connect=5, silence=5, tries=2, delay=0.01)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """A Registry by the text of a registries.conf and options, without files of whoever runs the tests."""
    clients: list[Client] = []

    def of(text: str = "", **options: Any) -> Registry:
        conf = tmp_path / "registries.conf"
        conf.write_text(text)
        clients.append(Client(threading.Event(), QUICK, {}))
        told = RegistryOptions(conf=str(conf), **{"authfile": "/dev/null", **options})
        return Registry(told, {"HOME": str(tmp_path)}, threading.Event(), client=clients[-1])

    yield of
    for client in clients:
        client.close()


def mirrored(registry: str, *mirrors: str) -> str:
    tables = "".join(f"[[registry.mirror]]\n{mirror}\n" for mirror in mirrors)
    return f"[[registry]]\nprefix = '{registry}'\n{tables}"


def free_host() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def who(registry: Registry, name: str) -> tuple[str, str]:
    """The host that gives the manifest, and the manifest's digest."""
    endpoint, found, _ = registry.manifest(parse_reference(name))
    return endpoint.host, found.digest


def test_a_mirror_is_asked_and_the_registry_is_not(
    opened: Open, plain_registry: Server, mirror_registry: Server
) -> None:
    pushed = plain_registry.push("mirrors/used")
    registry = opened(mirrored("registry.example", f"location = '{mirror_registry.host}'"))

    found = who(registry, "registry.example/mirrors/used")

    assert found == (mirror_registry.host, pushed.digest)
    assert who(opened(mirrors=(("registry.example", mirror_registry.host),)), "registry.example/mirrors/used") == found


def test_a_dead_mirror_is_passed_over_and_not_waited_for_again(opened: Open, plain_registry: Server) -> None:
    pushed = plain_registry.push("mirrors/dead")
    registry = opened(mirrored(plain_registry.host, f"location = '{free_host()}'"))
    started = time.monotonic()

    assert who(registry, pushed.reference) == (plain_registry.host, pushed.digest)
    assert who(registry, pushed.reference) == (plain_registry.host, pushed.digest)
    assert time.monotonic() - started < 5


def test_order_is_kept_over_tls_plain_http_and_the_registry(
    opened: Open, tls_registry: Server, plain_registry: Server, authority: Authority
) -> None:
    """The TLS mirror's authority is a stranger at first; once it is named, that mirror is the first that answers."""
    secure, plain = (server.push("mirrors/order") for server in (tls_registry, plain_registry))
    text = mirrored("registry.example", f"location = '{tls_registry.host}'", f"location = '{plain_registry.host}'")

    assert who(opened(text), "registry.example/mirrors/order") == (plain_registry.host, plain.digest)
    trusting = opened(text, authorities=(str(authority.certificate),))
    assert who(trusting, "registry.example/mirrors/order") == (tls_registry.host, secure.digest)


def test_a_mirror_that_has_not_got_it_is_passed_over(
    opened: Open, tls_registry: Server, plain_registry: Server, authority: Authority
) -> None:
    pushed = plain_registry.push("mirrors/missing")
    text = mirrored(plain_registry.host, f"location = '{tls_registry.host}'")

    found = who(opened(text, authorities=(str(authority.certificate),)), pushed.reference)

    assert found == (plain_registry.host, pushed.digest)


def test_the_last_error_tells_of_all_that_was_tried(opened: Open, plain_registry: Server, tls_registry: Server) -> None:
    dead = free_host()
    text = mirrored(plain_registry.host, f"location = '{dead}'", f"location = '{tls_registry.host}/hub'")

    with pytest.raises(RegistryError, match="404 Not Found: MANIFEST_UNKNOWN") as caught:
        who(opened(text), f"{plain_registry.host}/mirrors/nowhere:1")

    first, second, third = caught.value.message.splitlines()
    assert first.startswith(f"{plain_registry.host}: GET manifest mirrors/nowhere:1: ")
    assert second == (
        f"before it, mirror {dead}/mirrors/nowhere: {dead}: GET manifest mirrors/nowhere:1: connection refused"
    )
    assert third.startswith(f"before it, mirror {tls_registry.host}/hub/mirrors/nowhere: {tls_registry.host}: ")
    assert "the certificate is not trusted" in third


def test_a_mirror_s_own_credentials_are_shown_to_it_alone(
    opened: Open, plain_registry: Server, password_registry: Server, tmp_path: Path
) -> None:
    """Those of the registry, or of the command line, are for the registry: to a mirror they would be told away."""
    plain, secret = (server.push("mirrors/auth") for server in (plain_registry, password_registry))
    text = mirrored(plain_registry.host, f"location = '{password_registry.host}'")

    def authfile(host: str) -> str:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        path = tmp_path / "auth.json"
        path.write_text(json.dumps({"auths": {host: {"auth": login}}}))
        return str(path)

    own = opened(text, authfile=authfile(password_registry.host))
    assert who(own, plain.reference) == (password_registry.host, secret.digest)
    others = opened(text, authfile=authfile(plain_registry.host))
    assert who(others, plain.reference) == (plain_registry.host, plain.digest)
    given = opened(text, creds=(USER, PASSWORD))
    assert who(given, plain.reference) == (plain_registry.host, plain.digest)
    direct = opened(creds=(USER, PASSWORD))
    assert who(direct, secret.reference) == (password_registry.host, secret.digest)


def test_a_registry_that_is_blocked_is_not_asked(opened: Open, plain_registry: Server, tmp_path: Path) -> None:
    pushed = plain_registry.push("mirrors/blocked")
    before = len(plain_registry.requests())

    with pytest.raises(RegistryError) as caught:
        who(opened(f"[[registry]]\nprefix = '{plain_registry.host}'\nblocked = true\n"), pushed.reference)

    assert f"blocked by {tmp_path}/registries.conf" in caught.value.message
    assert len(plain_registry.requests()) == before


def test_a_server_that_is_not_there_is_named_with_the_step_and_what_to_do(opened: Open) -> None:
    host = free_host()

    with pytest.raises(NetworkError, match=f"^{host}: GET manifest mirrors/x:1: connection refused$") as caught:
        who(opened(), f"{host}/mirrors/x:1")
    assert caught.value.hint


def test_a_registry_that_wants_to_know_who_asks_says_so(opened: Open, password_registry: Server) -> None:
    host = password_registry.host

    with pytest.raises(AuthError, match=f"^{host}: GET manifest mirrors/x:1: ") as caught:
        who(opened(), f"{host}/mirrors/x:1")
    assert f"rbuild login {host}" in (caught.value.hint or "")
