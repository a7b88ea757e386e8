"""rbuild pull by other ways than the name says: mirrors, authorities, aliases, blocks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.command import Rbuild
from tests.support.registries import Registry


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The registries.conf of a user whose home is empty else."""
    path = tmp_path / "home/.config/containers/registries.conf"
    path.parent.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CONTAINERS_REGISTRIES_CONF", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return path


def test_an_image_keeps_its_name_whoever_gave_it(rbuild: Rbuild, plain_registry: Registry, conf: Path) -> None:
    """The mirror of the file is dead; that of the command line is asked first."""
    pushed = plain_registry.push("routes/named")
    conf.write_text("[[registry]]\nprefix = 'registry.example'\n[[registry.mirror]]\nlocation = 'localhost:1'\n")
    name = "registry.example/routes/named:latest"

    pulled = rbuild("pull", "--mirror", f"registry.example={plain_registry.host}", name)

    assert pulled.stdout == f"{name}@{pushed.digest}\n"
    assert rbuild("inspect", name).stdout


def test_a_short_name_is_what_the_user_s_file_says(rbuild: Rbuild, plain_registry: Registry, conf: Path) -> None:
    pushed = plain_registry.push("routes/base", "1")
    conf.write_text(f"[aliases]\n'corp/base' = '{plain_registry.host}/routes/base'\n")

    assert rbuild("pull", "corp/base:1").stdout == f"{pushed.reference}@{pushed.digest}\n"


def test_an_authority_is_trusted_only_where_it_is_named(
    rbuild: Rbuild, tls_registry: Registry, authority: Authority, conf: Path
) -> None:
    pushed = tls_registry.push("routes/tls")
    refused = rbuild("pull", pushed.reference, status=4)

    assert (
        f"error: {tls_registry.host}: GET manifest routes/tls:latest: the certificate is not trusted" in refused.stderr
    )
    assert "hint: trust its authority with --tls-ca FILE" in refused.stderr
    assert pushed.digest in rbuild("pull", "--tls-ca", authority.certificate, pushed.reference).stdout
    certs = conf.parent / "certs.d" / tls_registry.host
    certs.mkdir(parents=True)
    shutil.copy(authority.certificate, certs / "ca.crt")
    assert pushed.digest in rbuild("pull", pushed.reference).stdout


def test_a_blocked_registry_is_refused_with_the_file_that_says_so(rbuild: Rbuild, conf: Path) -> None:
    conf.write_text("[[registry]]\nprefix = '*.example'\nblocked = true\n")

    refused = rbuild("pull", "registry.example/x", status=5)

    assert f"error: registry.example/x:latest: blocked by {conf}, for *.example" in refused.stderr


def test_a_faulty_file_is_shown_where_it_is_faulty(rbuild: Rbuild, conf: Path) -> None:
    conf.write_text("[[registry]]\nprefix = 'a.b'\nblock = true\n")

    refused = rbuild("pull", "registry.example/x", status=2)

    assert f"error: {conf}:3: unknown key 'block' in [[registry]]" in refused.stderr
    assert " >>> 3 | block = true" in refused.stderr
    assert "hint: did you mean blocked?" in refused.stderr


def test_a_build_goes_the_same_ways(rbuild: Rbuild, plain_registry: Registry, conf: Path, tmp_path: Path) -> None:
    plain_registry.push("routes/built")
    host, file = plain_registry.host, tmp_path / "context/Dockerfile"
    file.parent.mkdir()
    file.write_text(f"FROM {host}/routes/absent\nLABEL a=b\n")
    conf.write_text(f"[[registry]]\nprefix = '{host}'\n[[registry.mirror]]\nlocation = 'localhost:1'\n")
    failed = rbuild("build", file.parent, status=5).stderr

    assert f"error: {file}:1: {host}: GET manifest routes/absent:latest: 404 Not Found: MANIFEST_UNKNOWN" in failed
    assert "before it, mirror localhost:1/routes/absent: localhost:1: GET manifest routes/absent:latest: " in failed
    rbuild("build", "--mirror", f"{host}/routes/absent={host}/routes/built", file.parent)


def test_a_short_name_that_is_forbidden_is_shown_in_the_dockerfile(rbuild: Rbuild, conf: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM team/app\n")
    conf.write_text("unqualified-search-registries = ['registry.corp']\n")

    failed = rbuild("build", tmp_path, status=2).stderr

    assert f"error: {tmp_path}/Dockerfile:1: team/app is a short name" in failed
    assert "hint: write docker.io/team/app or registry.corp/team/app" in failed
