"""From references to endpoints: mirrors, locations, blocks, schemes, and what people call Docker Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.errors import RegistryError, UsageError
from builder.net.tls import Tls
from builder.oci.reference import parse_reference
from builder.registry.endpoint import Endpoint
from builder.registry.options import RegistryOptions
from builder.registry.routes import Routes, is_this_machine

DIGEST = "sha256:" + "0" * 64


def routes(tmp_path: Path, text: str = "", **options: Any) -> Routes:
    conf = tmp_path / "registries.conf"
    conf.write_text(text)
    return Routes(RegistryOptions(conf=str(conf), **options), {})


def pulled(found: Routes, name: str) -> list[str]:
    """Where is asked, as "BASE/REPOSITORY", with a mark for each of mirror, insecure, plain."""
    return [shown(endpoint) for endpoint in found.pull(parse_reference(name))]


def shown(endpoint: Endpoint) -> str:
    marks = {"mirror": endpoint.mirror, "insecure": not endpoint.tls.verify, "plain": endpoint.plain}
    return " ".join([f"{endpoint.base}/{endpoint.repository}", *(mark for mark, there in marks.items() if there)])


PLAIN_NAMES = [
    ("golang", "https://registry-1.docker.io/library/golang"),
    ("user/app:1", "https://registry-1.docker.io/user/app"),
    ("index.docker.io/user/app", "https://registry-1.docker.io/user/app"),
    ("quay.io/a/b@" + DIGEST, "https://quay.io/a/b"),
    ("r.x:5000/a", "https://r.x:5000/a"),
    ("localhost/a", "https://localhost/a plain"),
    ("localhost:5000/a", "https://localhost:5000/a plain"),
    ("127.0.0.1:5000/a", "https://127.0.0.1:5000/a plain"),
    ("[::1]:5000/a", "https://[::1]:5000/a plain"),
    ("[2001:db8::1]/a", "https://[2001:db8::1]/a"),
    ("10.0.0.1:5000/a", "https://10.0.0.1:5000/a"),
]


@pytest.mark.parametrize(("name", "endpoint"), PLAIN_NAMES)
def test_without_configuration_the_name_says_it(tmp_path: Path, name: str, endpoint: str) -> None:
    assert pulled(routes(tmp_path), name) == [endpoint]
    assert shown(routes(tmp_path).push(parse_reference(name))) == endpoint


def test_credentials_of_docker_hub_are_kept_under_another_name(tmp_path: Path) -> None:
    (endpoint,) = routes(tmp_path).pull(parse_reference("golang"))

    assert (endpoint.host, endpoint.registry, endpoint.mirror) == ("index.docker.io", "docker.io", False)


MIRRORED = """
[[registry]]
prefix = "docker.io"
[[registry.mirror]]
location = "one.x:5000/hub"
[[registry.mirror]]
location = "two.x"
insecure = true
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "localhost:5000"
pull-from-mirror = "tag-only"
"""


def test_mirrors_are_asked_in_order_and_then_the_registry(tmp_path: Path) -> None:
    found = routes(tmp_path, MIRRORED)

    hub = "https://registry-1.docker.io/library/golang"
    one, local = "https://one.x:5000/hub/library/golang mirror", "https://localhost:5000/library/golang mirror plain"
    assert pulled(found, "golang:1") == [one, local, hub]
    two = "https://two.x/library/golang mirror insecure plain"
    assert pulled(found, f"golang@{DIGEST}") == [one, two, hub]
    assert pulled(found, f"golang:1@{DIGEST}") == [one, two, hub]
    assert pulled(found, "quay.io/a/b") == ["https://quay.io/a/b"]


def test_a_mirror_s_credentials_are_its_own(tmp_path: Path) -> None:
    mirror, *_ = routes(tmp_path, MIRRORED).pull(parse_reference("golang"))

    assert (mirror.host, mirror.registry) == ("one.x:5000", "docker.io")


def test_pushing_knows_neither_mirrors_nor_locations(tmp_path: Path) -> None:
    moved = "[[registry]]\nprefix = 'a.b'\nlocation = 'c.d'\ninsecure = true\n"
    found = routes(tmp_path, MIRRORED + moved, mirrors=(("docker.io", "three.x"),))

    assert shown(found.push(parse_reference("user/app"))) == "https://registry-1.docker.io/user/app"
    assert shown(found.push(parse_reference("a.b/app"))) == "https://a.b/app insecure plain"


def test_mirrors_by_digest_only_are_not_asked_for_tags(tmp_path: Path) -> None:
    text = "[[registry]]\nprefix='a.b'\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation='c.d'\n"
    found = routes(tmp_path, text)

    assert pulled(found, "a.b/x:1") == ["https://a.b/x"]
    assert pulled(found, f"a.b/x@{DIGEST}") == ["https://c.d/x mirror", "https://a.b/x"]


LOCATIONS = [
    ("prefix='a.b'\nlocation='c.d/e'", "a.b/x/y:1", "https://c.d/e/x/y mirror"),
    ("prefix='a.b/x'\nlocation='c.d/e'", "a.b/x:1", "https://c.d/e mirror"),
    ("prefix='a.b/x'\nlocation='c.d/e'", "a.b/xy:1", "https://a.b/xy"),
    ("prefix='a.b/x'\nlocation='a.b/z'", "a.b/x/y:1", "https://a.b/z/y"),
    ("prefix='*.b'\nlocation='c.d'", "x.a.b:5000/y:1", "https://c.d:5000/y mirror"),
    ("prefix='*.b'\ninsecure=true", "a.b/y:1", "https://a.b/y insecure plain"),
    ("prefix='a.b'\nlocation='docker.io'", "a.b/alpine:1", "https://registry-1.docker.io/library/alpine mirror"),
    ("location='a.b'\ninsecure=true", "a.b/y:1", "https://a.b/y insecure plain"),
    ("prefix='a.b'\nlocation='[::1]:5000'", "a.b/y:1", "https://[::1]:5000/y mirror plain"),
    ("prefix='docker.io/library'\nlocation='c.d/e'", "alpine", "https://c.d/e/alpine mirror"),
]


@pytest.mark.parametrize(("table", "name", "endpoint"), LOCATIONS)
def test_a_location_takes_the_place_of_the_prefix(tmp_path: Path, table: str, name: str, endpoint: str) -> None:
    assert pulled(routes(tmp_path, f"[[registry]]\n{table}\n"), name) == [endpoint]


IMPOSSIBLE = [
    ("prefix='a.b/x'\nlocation='c.d'", "a.b/x:1", "a.b/x:1 is moved to c.d: c.d:1 names no repository"),
    ("prefix='a.b/x:1'\nlocation='c.d/x:2'", "a.b/x:1", "would give a.b/x:1 another tag or digest"),
    ("prefix='a.b'\nlocation='c'", "a.b/x:1", "the location c names no registry"),
]


@pytest.mark.parametrize(("table", "name", "message"), IMPOSSIBLE)
def test_a_location_that_gives_no_repository_is_refused_with_the_file(
    tmp_path: Path, table: str, name: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        pulled(routes(tmp_path, f"[[registry]]\n{table}\n"), name)

    assert message in caught.value.message
    assert caught.value.message.startswith(f"{tmp_path}/registries.conf: ")


BLOCKED = [
    ("prefix='docker.io'", "golang"),
    ("prefix='docker.io/library/golang'", "golang:1.21"),
    ("prefix='docker.io/library/golang:latest'", "golang"),
    ("prefix='*.x'", "r.x/a:1"),
    ("prefix='evil.x'", "EVIL.x/a:1"),
]


@pytest.mark.parametrize(("table", "name"), BLOCKED)
def test_what_is_blocked_is_neither_pulled_nor_pushed(tmp_path: Path, table: str, name: str) -> None:
    mirror = "[[registry.mirror]]\nlocation='m.x'\n"
    found = routes(tmp_path, f"[[registry]]\n{table}\nblocked=true\n{mirror}", mirrors=(("docker.io", "n.y"),))

    for way in (found.pull, found.push):
        with pytest.raises(RegistryError) as caught:
            way(parse_reference(name))
        assert f"blocked by {tmp_path}/registries.conf, for " in caught.value.message


@pytest.mark.parametrize("table", ["location='c.d'", "[[registry.mirror]]\nlocation='c.d'", ""])
def test_a_blocked_registry_is_not_reached_by_another_name(tmp_path: Path, table: str) -> None:
    text = f"[[registry]]\nprefix='c.d'\nblocked=true\n[[registry]]\nprefix='a.b'\n{table}\n"
    found = routes(tmp_path, text, mirrors=() if table else (("a.b", "c.d"),))

    with pytest.raises(RegistryError, match=r"^c\.d/x:latest: blocked by"):
        found.pull(parse_reference("a.b/x"))


def test_mirrors_of_the_command_line_come_first(tmp_path: Path) -> None:
    flags = (("docker.io", "m.x/hub/"), ("docker.io/library/", "http://n.x"), ("quay.io", "o.x"))
    found = routes(tmp_path, MIRRORED, mirrors=flags)

    assert pulled(found, "golang")[:2] == [
        "https://m.x/hub/library/golang mirror",
        "http://n.x/golang mirror",
    ]
    assert len(pulled(found, "golang")) == 5


@pytest.mark.parametrize(
    ("prefix", "location", "message"),
    [
        ("library", "m.x", "'library' does not begin with a registry"),
        ("https://docker.io", "m.x", "'https://docker.io' does not begin with a registry"),
        ("docker.io", "ftp://m.x", "'ftp://m.x' is not HOST[:PORT][/PATH]"),
        ("docker.io", "m.x//a", "'m.x//a' is not HOST[:PORT][/PATH]"),
        ("docker.io", "cache", "the location cache names no registry"),
    ],
)
def test_a_mirror_of_the_command_line_is_checked(tmp_path: Path, prefix: str, location: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        routes(tmp_path, mirrors=((prefix, location),)).pull(parse_reference("golang"))

    assert message in caught.value.message
    assert caught.value.message.startswith(f"--mirror {prefix}={location}: ")


def test_insecure_is_for_the_host_that_is_named(tmp_path: Path) -> None:
    found = routes(tmp_path, insecure=("R.x:5000", "m.x"), mirrors=(("a.b", "m.x"),))

    assert pulled(found, "r.x:5000/a") == ["https://r.x:5000/a insecure plain"]
    assert pulled(found, "r.x/a") == ["https://r.x/a"]
    assert pulled(found, "a.b/a") == ["https://m.x/a mirror insecure plain", "https://a.b/a"]
    for wrong in ("http://r.x", "10.0.0.0/8", "*.x"):
        with pytest.raises(UsageError, match="--insecure-registry"):
            routes(tmp_path, insecure=(wrong,)).pull(parse_reference("golang"))


def test_no_verification_is_for_everybody(tmp_path: Path) -> None:
    found = routes(tmp_path, MIRRORED, verify=False)

    assert all(endpoint.plain and not endpoint.tls.verify for endpoint in found.pull(parse_reference("golang")))


ALIASES = """
[aliases]
base = "registry.corp/base"
"team/app" = "registry.corp:5000/apps/app"
"""


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("base", "registry.corp/base"),
        ("base:1", "registry.corp/base:1"),
        (f"base:1@{DIGEST}", f"registry.corp/base:1@{DIGEST}"),
        ("team/app:2", "registry.corp:5000/apps/app:2"),
        ("docker.io/library/base:1", "docker.io/library/base:1"),
        ("library/base:1", "docker.io/library/base:1"),
        ("team/app2", "docker.io/team/app2"),
        ("golang", "docker.io/library/golang"),
        ("localhost/base", "localhost/base"),
    ],
)
def test_short_names_are_aliases_or_of_docker_hub(tmp_path: Path, text: str, meant: str) -> None:
    assert str(routes(tmp_path, ALIASES).qualify(text)) == meant


@pytest.mark.parametrize("search", ["[]", "['docker.io']", "['a.b', 'docker.io']"])
def test_search_registries_with_docker_hub_do_not_change_what_a_name_means(tmp_path: Path, search: str) -> None:
    found = routes(tmp_path, f"unqualified-search-registries = {search}\nshort-name-mode = 'enforcing'\n")

    assert str(found.qualify("golang")) == "docker.io/library/golang"


def test_search_registries_without_docker_hub_forbid_short_names(tmp_path: Path) -> None:
    """Else an image of the company's would be looked for at Docker Hub, where anybody may have taken its name."""
    found = routes(tmp_path, "unqualified-search-registries = ['a.b', 'c.d']\n" + ALIASES)

    with pytest.raises(UsageError) as caught:
        found.qualify("team/tool:1")
    where = tmp_path / "registries.conf"
    assert caught.value.message == (
        f"team/tool:1 is a short name, and unqualified-search-registries of {where} leaves docker.io out"
    )
    assert caught.value.hint == "write docker.io/team/tool:1 or a.b/team/tool:1, or give it an alias there"
    assert str(found.qualify("team/app:1")) == "registry.corp:5000/apps/app:1"
    assert str(found.qualify("docker.io/golang")) == "docker.io/library/golang"
    assert str(found.qualify("x.y/golang")) == "x.y/golang"


def test_trust_is_that_of_the_host_asked(tmp_path: Path) -> None:
    for host in ("m.x", "docker.io"):
        (tmp_path / "certs" / host).mkdir(parents=True)
        (tmp_path / "certs" / host / "ca.crt").write_text("-----BEGIN CERTIFICATE-----\n")
    found = routes(tmp_path, mirrors=(("docker.io", "m.x"),), cert_dir=str(tmp_path / "certs"))

    assert [endpoint.tls for endpoint in found.pull(parse_reference("golang"))] == [
        Tls(authorities=(str(tmp_path / "certs/m.x/ca.crt"),)),
        Tls(authorities=(str(tmp_path / "certs/docker.io/ca.crt"),)),
    ]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "a.localhost:5", "127.3.2.1:5000", "[::1]", "[::1]:5000"]
)
def test_this_machine_is_recognized(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["localhost.x", "127.0.0.1.x", "xlocalhost", "128.0.0.1", "[::2]:5000", "1270.0.0.1"])
def test_other_machines_are_not_this_one(host: str) -> None:
    assert not is_this_machine(host)
