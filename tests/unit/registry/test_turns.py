"""Servers asked in turn: what is passed over, what is told in the end, and who is not asked again."""

from __future__ import annotations

import pytest

from builder.errors import AuthError, BuildError, Cancelled, DocumentError, NetworkError, RegistryError, StoreError
from builder.net.reasons import Refused
from builder.registry.endpoint import Endpoint
from builder.registry.turns import Turns

ONE, TWO = (Endpoint(f"https://{name}.x", f"{name}.x", f"hub/{name}", "r.x", mirror=True) for name in ("one", "two"))
REGISTRY = Endpoint("https://r.x", "r.x", "app", "r.x")
WAYS = (ONE, TWO, REGISTRY)


class Servers:
    """Answers or fails as told, and keeps who was asked."""

    def __init__(self, *failing: tuple[Endpoint, BuildError]) -> None:
        self.failing = dict(failing)
        self.asked: list[str] = []

    def __call__(self, endpoint: Endpoint) -> str:
        self.asked.append(endpoint.host)
        if endpoint in self.failing:
            raise self.failing[endpoint]
        return f"from {endpoint.host}"


def test_the_first_that_answers_is_the_last_that_is_asked() -> None:
    servers = Servers((ONE, RegistryError("404")))

    assert Turns().take(WAYS, servers) == "from two.x"
    assert servers.asked == ["one.x", "two.x"]


@pytest.mark.parametrize("kind", [AuthError, NetworkError, RegistryError, DocumentError])
def test_a_mirror_may_fail_in_any_way_of_a_server(kind: type[BuildError]) -> None:
    assert Turns().take(WAYS, Servers((ONE, kind("no")), (TWO, kind("no")))) == "from r.x"


@pytest.mark.parametrize("kind", [Cancelled, StoreError])
def test_what_is_no_server_s_fault_ends_it(kind: type[BuildError]) -> None:
    servers = Servers((ONE, kind("no")))

    with pytest.raises(kind):
        Turns().take(WAYS, servers)
    assert servers.asked == ["one.x"]


@pytest.mark.parametrize("error", [RegistryError("r.x: 404", hint="c"), Refused("r.x", "connection refused", "c")])
def test_the_error_is_the_registry_s_and_tells_of_the_mirrors(error: BuildError) -> None:
    servers = Servers(
        (ONE, NetworkError("one.x: connection refused", hint="a")),
        (TWO, AuthError("two.x: 401", hint="b")),
        (REGISTRY, error),
    )

    with pytest.raises(type(error)) as caught:
        Turns().take(WAYS, servers)

    assert str(caught.value).splitlines() == [
        str(error).splitlines()[0],
        "before it, mirror one.x/hub/one: one.x: connection refused",
        "before it, mirror two.x/hub/two: two.x: 401",
    ]
    assert caught.value.hint == "c"


def test_without_mirrors_the_error_stays_as_it_is() -> None:
    error = RegistryError("r.x: 404")

    with pytest.raises(RegistryError) as caught:
        Turns().take((REGISTRY,), Servers((REGISTRY, error)))
    assert caught.value is error


def test_a_mirror_that_was_not_reached_is_not_waited_for_again() -> None:
    servers = Servers((ONE, NetworkError("one.x: no answer in time")), (TWO, RegistryError("two.x: 404")))
    turns = Turns()
    turns.take(WAYS, servers)
    servers.asked.clear()
    servers.failing[REGISTRY] = NetworkError("r.x: down")

    with pytest.raises(NetworkError, match=r"mirror one\.x/hub/one: one\.x: no answer in time"):
        turns.take(WAYS, servers)
    assert servers.asked == ["two.x", "r.x"]
    servers.failing.clear()
    assert turns.take((REGISTRY,), servers) == "from r.x"
