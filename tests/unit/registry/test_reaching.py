"""Real servers: who is reached by which scheme, and with what trust."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from builder.net.client import Client, Patience
from builder.net.reasons import NotTls, Refused, Unfit, Untrusted, Unwelcome
from builder.oci.reference import parse_reference
from builder.registry.options import RegistryOptions
from builder.registry.routes import Routes
from builder.registry.schemes import Schemes
from tests.support.authority import Authority
from tests.support.registries import Registry, serving

QUICK = Patience(connect=5, silence=5, tries=2, delay=0.01)


def reached(host: str, environ: dict[str, str] | None = None, **options: Any) -> str:
    """The base that answers for an image of `host`, after one request to it."""
    (endpoint,) = Routes(RegistryOptions(conf="/dev/null", **options), environ or {}).pull(parse_reference(f"{host}/x"))
    client = Client(threading.Event(), QUICK, {})
    try:
        settled = client.persist(lambda: Schemes(client).settled(endpoint))
        with client.exchange("GET", f"{settled.base}/v2/", tls=settled.tls) as answer:
            assert answer.status == 200
        return settled.base
    finally:
        client.close()


@contextmanager
def as_another_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loopback is not known as such: what holds is what holds for any server."""
    with monkeypatch.context() as patch:
        patch.setattr("builder.registry.routes.is_this_machine", lambda host: False)
        yield


def test_plain_http_is_spoken_to_this_machine(plain_registry: Registry) -> None:
    assert reached(plain_registry.host) == f"http://{plain_registry.host}"


def test_plain_http_is_spoken_to_another_machine_only_where_that_is_said(
    plain_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = plain_registry.host
    with as_another_machine(monkeypatch):
        with pytest.raises(NotTls, match="does not speak TLS") as caught:
            reached(host)
        assert caught.value.hint == f"if plain HTTP is meant: --insecure-registry {host}"
        assert reached(host, insecure=(host,)) == f"http://{host}"
        assert reached(host, verify=False) == f"http://{host}"


def test_ipv6_is_spoken(tmp_path: Path) -> None:
    with serving(tmp_path / "registry", address="[::1]") as registry:
        assert reached(registry.host) == f"http://{registry.host}"


def test_a_private_authority_is_trusted_where_it_is_named(
    tls_registry: Registry, authority: Authority, tmp_path: Path
) -> None:
    host, certificate = tls_registry.host, str(authority.certificate)
    certs = tmp_path / ".config/containers/certs.d" / host
    certs.mkdir(parents=True)
    shutil.copy(certificate, certs / "ca.crt")

    assert reached(host, authorities=(certificate,)) == f"https://{host}"
    assert reached(host, {"HOME": str(tmp_path)}) == f"https://{host}"
    assert reached(host, cert_dir=str(certs)) == f"https://{host}"
    assert reached(host, insecure=(host,)) == f"https://{host}"
    assert reached(host, verify=False) == f"https://{host}"


def test_the_variables_of_openssl_count(
    tls_registry: Registry, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))

    assert reached(tls_registry.host) == f"https://{tls_registry.host}"


def test_an_untrusted_certificate_is_refused_and_never_answered_with_plain_http(tls_registry: Registry) -> None:
    """On this machine too: there plain HTTP is allowed, but a certificate that is shown has to be good."""
    with pytest.raises(Untrusted, match="the certificate is not trusted") as caught:
        reached(tls_registry.host)

    assert caught.value.exit_status == 4
    assert caught.value.hint is not None
    assert all(way in caught.value.hint for way in ("--tls-ca", "certs.d", "SSL_CERT_FILE"))


def test_a_certificate_for_another_name_is_refused(tmp_path: Path, authority: Authority) -> None:
    wrong = Authority(tmp_path)
    wrong.issue = lambda name, names="", days=2: Authority.issue(wrong, name, "DNS:other.example", days)  # type: ignore[method-assign]
    with serving(tmp_path / "registry", tls=wrong) as registry:
        with pytest.raises(Unfit, match="the certificate is not good: .*not valid for"):
            reached(registry.host, authorities=(str(wrong.certificate),))
        assert reached(registry.host, insecure=(registry.host,)) == f"https://{registry.host}"


def test_a_certificate_that_is_out_of_date_is_refused(tmp_path: Path) -> None:
    old = Authority(tmp_path)
    old.issue = lambda name, names="", days=2: Authority.issue(old, name, days=-1)  # type: ignore[method-assign]
    with serving(tmp_path / "registry", tls=old) as registry, pytest.raises(Unfit, match="has expired") as caught:
        reached(registry.host, authorities=(str(old.certificate),))
    assert "clock" in (caught.value.hint or "")


def test_a_client_certificate_is_shown_where_it_is_kept(
    mutual_tls_registry: Registry, authority: Authority, tmp_path: Path
) -> None:
    host, pair = mutual_tls_registry.host, mutual_tls_registry.client
    assert pair
    certs = tmp_path / host
    certs.mkdir()
    shutil.copy(authority.certificate, certs / "ca.crt")
    with pytest.raises(Unwelcome, match="refuses the TLS handshake") as caught:
        reached(host, cert_dir=str(tmp_path))
    assert "client certificate" in (caught.value.hint or "")

    shutil.copy(pair.certificate, certs / "client.cert")
    shutil.copy(pair.key, certs / "client.key")
    assert reached(host, cert_dir=str(tmp_path)) == f"https://{host}"


def test_nobody_who_listens_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"

    with pytest.raises(Refused, match=f"{host}.*connection refused"):
        reached(host)


def test_a_server_is_asked_once_which_scheme_it_speaks(plain_registry: Registry) -> None:
    (endpoint,) = Routes(RegistryOptions(conf="/dev/null"), {}).pull(parse_reference(f"{plain_registry.host}/x"))
    client = Client(threading.Event(), QUICK, {})
    asked: list[str] = []
    exchange = client.exchange
    client.exchange = lambda method, url, **rest: asked.append(url) or exchange(method, url, **rest)  # type: ignore[method-assign,func-returns-value]
    schemes = Schemes(client)

    assert schemes.settled(endpoint) == schemes.settled(endpoint) == schemes.settled(schemes.settled(endpoint))
    assert asked == [f"https://{plain_registry.host}/v2/"]
