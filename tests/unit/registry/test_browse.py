"""Tags of a repository page by page, and a registry that leads astray."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from builder.errors import DocumentError, RegistryError
from builder.net.client import Client, Patience
from builder.oci.reference import parse_reference
from builder.registry.browse import tags
from builder.registry.options import RegistryOptions
from builder.registry.registry import Registry
from tests.support.faulty import Faulty, Rules
from tests.support.origin import Ask, Origin, Reply

NAMES = [f"v{number:02}" for number in range(7)]


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    client = Client(threading.Event(), Patience(connect=2, silence=2, tries=2, delay=0.001), {})
    options = RegistryOptions(authfile="/dev/null", conf="/dev/null")
    with Registry(options, {}, threading.Event(), client=client) as registry:
        yield registry


class Saying(Origin):
    """Answers every question for tags with the same."""

    def __init__(self, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        super().__init__()
        self._said = Reply(200, headers, body)

    def answer(self, ask: Ask) -> Reply:
        return self._said if "/tags/" in ask.path else super().answer(ask)


def listed(registry: Registry, origin: Origin) -> list[str]:
    with Faulty(origin, 0, Rules(rate=0)) as proxy:
        return tags(registry, parse_reference(f"{proxy.host}/team/app"))


@pytest.mark.parametrize("page", [0, 1, 3, 7])
def test_all_pages_are_read(page: int, registry: Registry) -> None:
    origin = Origin(page=page)
    origin.manifests["team/app", "sha256:0"] = ("", b"")
    origin.tags = {("team/app", name): "sha256:0" for name in reversed(NAMES)}
    assert listed(registry, origin) == NAMES


def test_a_repository_without_tags(registry: Registry) -> None:
    assert listed(registry, Saying((), b'{"name":"team/app","tags":null}')) == []


def test_a_repository_that_is_not_there(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="NAME_UNKNOWN"):
        listed(registry, Origin())


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("</v2/team/app/tags/list>; rel=next", "pages have no end"),
        ("<http://127.0.0.9:1/v2/team/app/tags/list?n=1>; rel=next", "another server"),
    ],
)
def test_pages_that_lead_astray(link: str, why: str, registry: Registry) -> None:
    with pytest.raises(RegistryError, match=why):
        listed(registry, Saying((("Link", link),), b'{"tags":["a"]}'))


@pytest.mark.parametrize("body", [b"", b"[]", b'{"tags":[1]}', b'{"tags":[],"tags":[]}', b"<html>"])
def test_an_answer_that_is_no_list(body: bytes, registry: Registry) -> None:
    with pytest.raises(DocumentError, match="GET tags of team/app"):
        listed(registry, Saying((), body))
