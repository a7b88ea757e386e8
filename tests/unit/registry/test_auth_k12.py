"""K12: who gets to see credentials. Never another host than the registry and the token server that it safely names."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import AuthError
from builder.net.tls import Tls
from builder.oci.reference import parse_reference
from builder.registry.endpoint import Endpoint
from builder.registry.options import RegistryOptions
from builder.registry.pull import pull
from builder.registry.realms import check_realm, trust
from builder.store.store import Store
from tests.support.asking import Asker, Given, Start, asker, bearer, start
from tests.support.authority import Authority
from tests.support.registries import PASSWORD, USER, Registry, basic, serving
from tests.support.token_server import TokenServer

__all__ = ["asker", "start"]  # fixtures


@pytest.mark.parametrize(
    ("server", "realm", "allowed"),
    [
        ("https://r.example", "https://auth.example/t", True),
        ("https://r.example", "https://[2001:db8::1]:8443/t", True),
        ("http://r.example", "https://auth.example/t", True),
        ("https://r.example", "http://auth.example/t", False),
        ("https://r.example", "http://r.example/t", False),
        ("https://r.example", "http://127.0.0.1/t", False),
        ("https://127.0.0.1", "http://127.0.0.1:81/t", False),
        ("http://r.example", "http://r.example:81/t", True),
        ("http://r.example", "http://R.EXAMPLE/t", True),
        ("http://r.example", "http://localhost:81/t", True),
        ("http://r.example", "http://[::1]:81/t", True),
        ("http://r.example", "http://auth.example/t", False),
        ("http://r.example", "http://r.example.evil/t", False),
        ("http://r.example", "http://r.example@evil/t", False),
        ("http://127.0.0.1:5000", "http://127.0.0.1.evil/t", False),
        ("http://127.0.0.1:5000", "http://localhost.evil/t", False),
        ("http://r.example", "http://insecure.example:81/t", True),
        ("http://r.example", "http://insecure.example/t", False),
        ("http://r.example", "https://auth.example/t#x", False),
        ("http://r.example", "file:///etc/passwd", False),
        ("http://r.example", "http://auth .example/t", False),
        ("http://r.example", "//auth.example/t", False),
        ("http://r.example", "http://[::1/t", False),
        ("http://r.example", "", False),
    ],
)
def test_k12_where_credentials_may_go(server: str, realm: str, allowed: bool) -> None:
    """Over TLS, or in plain HTTP to this machine, the registry's own host, or one that is called insecure."""
    options = RegistryOptions(insecure=("Insecure.example:81",))
    if allowed:
        check_realm(server, realm, options)
    else:
        with pytest.raises(AuthError):
            check_realm(server, realm, options)


def test_k12_a_token_server_without_tls_is_not_asked_for_a_registry_with_tls(
    asker: Asker, start: Start, authority: Authority, tmp_path: Path
) -> None:
    tokens = TokenServer(_folder(tmp_path / "tokens"))
    with serving(tmp_path / "r", tls=authority, tokens=tokens) as registry:
        asker.options["authorities"] = (str(authority.certificate),)
        asker.knows(registry.host)
        error = asker.fails(f"{registry.host}/a")
    tokens.close()
    assert "names a token server without TLS, http://127.0.0.1:" in error.message
    assert tokens.asked == []


def test_a_token_server_with_tls_is_trusted_by_its_own_host(asker: Asker, authority: Authority, tmp_path: Path) -> None:
    """On the registry's host its certificates count, too."""
    tokens = TokenServer(_folder(tmp_path / "tokens"), authority.issue("tokens"))
    tokens.users[USER] = PASSWORD
    with serving(tmp_path / "r", tls=authority, tokens=tokens) as registry:
        asker.knows(registry.host)
        registry.push("tls/a")
        certs = tmp_path / ".config/containers/certs.d" / registry.host
        certs.mkdir(parents=True)
        (certs / "ca.crt").write_bytes(authority.certificate.read_bytes())
        assert asker.tags(f"{registry.host}/tls/a") > 10
    tokens.close()


def test_trust_of_a_token_server_elsewhere() -> None:
    """A registry that takes any certificate does not make that of another host right."""
    loose = Endpoint("https://r.example:5000", "r.example:5000", "a", "r.example:5000", Tls(verify=False))
    options = RegistryOptions(insecure=("r.example:5000",), authorities=())

    assert trust(loose, "https://r.example/token", options, {}) == loose.tls
    assert trust(loose, "https://auth.example/token", options, {}) == Tls()
    assert not trust(loose, "https://auth.example/token", RegistryOptions(verify=False), {}).verify


def test_k12_a_client_certificate_is_for_the_registry(authority: Authority, tmp_path: Path) -> None:
    """The one in --cert-dir itself; a directory for the token server is for that."""
    pair = authority.issue("who-we-are")
    for folder in (tmp_path / "certs", tmp_path / "certs/known.example"):
        folder.mkdir()
        (folder / "ca.crt").write_bytes(authority.certificate.read_bytes())
        (folder / "client.cert").write_bytes(pair.certificate.read_bytes())
        (folder / "client.key").write_bytes(pair.key.read_bytes())
    options = RegistryOptions(cert_dir=str(tmp_path / "certs"))
    registry = Endpoint("https://r.example", "r.example", "a", "r.example")

    elsewhere = trust(registry, "https://auth.example/t", options, {})
    assert elsewhere == Tls(authorities=(str(tmp_path / "certs/ca.crt"),))
    assert trust(registry, "https://known.example/t", options, {}).key.endswith("known.example/client.key")


def test_k12_a_redirected_blob_is_asked_for_without_credentials(asker: Asker, start: Start) -> None:
    """Another port is another server. Nor do they follow a token server that redirects."""
    storage = start(lambda path, seen: Given(200, body=b"blob"))

    def answer(path: str, seen: str | None) -> Given:
        if seen != basic(USER, PASSWORD):
            return Given(401, {"WWW-Authenticate": "Basic"})
        return Given(307, {"Location": f"{storage.url}/blob?signature=x"})

    registry = start(answer)
    asker.knows(registry.host)
    assert asker.tags(f"{registry.host}/a") == 4
    assert registry.seen()[-1] == basic(USER, PASSWORD)
    assert storage.seen() == [None]

    elsewhere = start(lambda path, seen: Given(307, {"Location": f"{storage.url}/token"}))
    naming = start(lambda path, seen: bearer(f"{elsewhere.url}/token"))
    asker.knows(naming.host)
    error = asker.fails(f"{naming.host}/a")
    assert isinstance(error, AuthError)
    assert f"redirects elsewhere, to {storage.url}/token: nothing is sent there" in error.message
    assert elsewhere.seen() == [basic(USER, PASSWORD)]
    assert storage.seen() == [None]


def test_k12_a_pull_shows_storage_no_token(
    asker: Asker, start: Start, plain_registry: Registry, tmp_path: Path
) -> None:
    """Blobs come from elsewhere, as in a cloud: the image is complete, and its storage was shown nothing."""
    image = plain_registry.push("auth/stored", "latest", {"a": b"a"}, {"b": b"b"})

    def from_behind(path: str) -> Given:
        found = plain_registry.request("GET", path)
        return Given(found.status, {"Content-Type": found.headers["content-type"]}, found.body)

    storage = start(lambda path, seen: from_behind(path))

    def answer(path: str, seen: str | None) -> Given:
        if path.startswith("/token"):
            return Given(200, body=b'{"token": "a-token"}')
        if seen != "Bearer a-token":
            return bearer(f"{registry.url}/token", service="x")
        return Given(307, {"Location": storage.url + path}) if "/blobs/" in path else from_behind(path)

    registry = start(answer)
    asker.knows(registry.host)
    with Store.open(str(tmp_path / "store")) as store:
        pulled = pull(asker.open(), parse_reference(f"{registry.host}/auth/stored"), store)
        assert pulled.digest == image.digest
        assert all(store.blobs.has(digest) for digest in (image.config, *image.layers))
    assert len(storage.asked) >= 3
    assert set(storage.seen()) == {None}
    assert basic(USER, PASSWORD) in registry.seen()


def test_k12_an_identity_token_follows_no_redirect_at_all(asker: Asker, start: Start) -> None:
    tokens = start(lambda path, seen: Given(307, {"Location": "/other"}))
    registry = start(lambda path, seen: bearer(f"{tokens.url}/token"))
    asker.knows(registry.host, identitytoken="an identity token")
    asker.fails(f"{registry.host}/a")
    assert [path for _, path, _ in tokens.asked] == ["/token"]


def test_k12_storage_that_wants_credentials_gets_none(asker: Asker, start: Start) -> None:
    storage = start(lambda path, seen: Given(401, {"WWW-Authenticate": "Basic realm=x"}))
    registry = start(
        lambda path, seen: (
            Given(307, {"Location": f"{storage.url}/blob"}) if seen else Given(401, {"WWW-Authenticate": "Basic"})
        )
    )
    asker.knows(registry.host)
    error = asker.fails(f"{registry.host}/a")
    assert isinstance(error, AuthError)
    assert set(storage.seen()) == {None}


def test_k12_a_mirror_gets_its_own_credentials_alone(asker: Asker, start: Start) -> None:
    """Neither what is kept for the registry, nor what --creds says."""
    mirror = start(lambda path, seen: Given(401, {"WWW-Authenticate": "Basic"}))
    registry = start(lambda path, seen: Given(401, {"WWW-Authenticate": "Basic"}))
    asker.options["mirrors"] = ((registry.host, mirror.host),)
    asker.knows(registry.host)
    name = parse_reference(f"{registry.host}/team/app")
    with pytest.raises(AuthError):
        asker.open().manifest(name)
    assert set(mirror.seen()) == {None}
    assert basic(USER, PASSWORD) in registry.seen()

    asker.knows(mirror.host, "mirror", "own")
    asker.options["creds"] = (USER, PASSWORD)
    with pytest.raises(AuthError):
        asker.open().manifest(name)
    assert mirror.seen()[-1] == basic("mirror", "own")
    assert basic(USER, PASSWORD) not in mirror.seen()


def test_k12_the_credentials_of_one_registry_are_not_another_s(asker: Asker, start: Start) -> None:
    """A registry that names the token server of another is given its own credentials' token, and no other."""
    tokens = start(lambda path, seen: Given(200, body=b'{"token": "t"}'))
    evil = start(lambda path, seen: bearer(f"{tokens.url}/token", service="good", scope="repository:good/a:pull"))
    asker.knows("good.example", "good", "secret")
    asker.fails(f"{evil.host}/a")
    assert set(tokens.seen()) == {None}


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path
