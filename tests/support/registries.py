"""Debian's docker-registry on 127.0.0.1: plain, with passwords, with TLS, with a token server, as a mirror.

Each fixture starts one server for the whole run, in 50 ms; so a test takes repositories of its own name.
`with serving(tmp_path, …) as registry` starts one that a test has for itself.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import re
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.authority import Authority, Pair
from tests.support.images import EPOCH, tar_of
from tests.support.token_server import TokenServer
from tests.support.tools import need_tool

USER = "ann"
PASSWORD = "correct horse: battery"  # a colon and blanks are allowed in one
_HTPASSWD = f"{USER}:$2b$04$o4dpIX743.IhMaRewBzuj.4u1CFSpLEXjfj2mEYn/P/PTOSCsxMwG\n"

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_DOCKER = {OCI_MANIFEST: DOCKER_MANIFEST, OCI_INDEX: DOCKER_LIST, OCI_CONFIG: DOCKER_CONFIG, OCI_LAYER: DOCKER_LAYER}


class Reply(NamedTuple):
    """`headers` by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes


class Pushed(NamedTuple):
    """What `Registry.push` put there. `reference` is HOST:PORT/REPOSITORY:TAG."""

    reference: str
    digest: str
    manifest: bytes
    config: str
    layers: tuple[str, ...]

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"digest": self.digest, "size": len(self.manifest)}


class Registry:
    """A running docker-registry. `host` is HOST:PORT, `authority` the PEM file that a client has to trust.

    Its own methods speak to it directly, without the code that the tests are about.
    """

    def __init__(
        self,
        host: str,
        log: Path,
        storage: Path,
        *,
        authority: Path | None = None,
        client: Pair | None = None,
        password: bool = False,
        tokens: TokenServer | None = None,
    ) -> None:
        self.host, self.log, self.storage = host, log, storage
        self.authority, self.client, self.tokens = authority, client, tokens
        self.url = f"{'https' if authority else 'http'}://{host}"
        self._password = password
        self._tokens: dict[tuple[object, ...], tuple[float, str]] = {}

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """One request with whatever this registry wants to see; `path` may be a whole address of it."""
        connection = self._connection()
        sent = {"Accept": ", ".join((*_DOCKER, *_DOCKER.values())), **self._own(path), **(headers or {})}
        try:
            connection.request(method, path.removeprefix(self.url), body, sent)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def requests(self) -> list[str]:
        """Every request up to now that was answered, from the access log: `GET /v2/name/blobs/sha256:…`, in order."""
        return [line.split('"')[1].removesuffix(" HTTP/1.1") for line in self._access_log() if '"' in line]

    def put_blob(self, repository: str, content: bytes) -> str:
        """Its digest."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        began = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        assert began.status == 202, began
        location = began.headers["location"]
        mark = "&" if "?" in location else "?"
        octets = {"Content-Type": "application/octet-stream"}
        ended = self.request("PUT", f"{location}{mark}digest={digest}", content, octets)
        assert ended.status == 201, ended
        return digest

    def put_manifest(self, repository: str, tag: str, media_type: str, content: bytes) -> str:
        """Its digest."""
        reply = self.request("PUT", f"/v2/{repository}/manifests/{tag}", content, {"Content-Type": media_type})
        assert reply.status == 201, reply
        return reply.headers["docker-content-digest"]

    def push(
        self,
        repository: str,
        tag: str = "latest",
        *layers: Mapping[str, bytes],
        platform: str = "linux/amd64",
        docker: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> Pushed:
        """An image of plain files, in OCI's or Docker's media types; `config` goes under its "config"."""
        tars = [tar_of(dict(layer)) for layer in layers or ({"hello": b"hello\n"},)]
        blobs = [gzip.compress(tar, mtime=0) for tar in tars]
        text = _encoded(_config(tars, platform, config or {}))
        document = {
            "schemaVersion": 2,
            "mediaType": _type(OCI_MANIFEST, docker),
            "config": _descriptor(_type(OCI_CONFIG, docker), text),
            "layers": [_descriptor(_type(OCI_LAYER, docker), blob) for blob in blobs],
        }
        digests = [self.put_blob(repository, blob) for blob in (text, *blobs)]
        manifest = _encoded(document)
        digest = self.put_manifest(repository, tag, document["mediaType"], manifest)
        reference = f"{self.host}/{repository}:{tag}"
        return Pushed(reference, digest, manifest, digests[0], tuple(digests[1:]))

    def push_index(self, repository: str, tag: str, images: Mapping[str, Pushed], docker: bool = False) -> Pushed:
        """An index of images of the same repository by their platforms."""
        kind = _type(OCI_MANIFEST, docker)
        listed = [
            {"mediaType": kind, **image.descriptor, "platform": _platform(platform)}
            for platform, image in images.items()
        ]
        index = _encoded({"schemaVersion": 2, "mediaType": _type(OCI_INDEX, docker), "manifests": listed})
        digest = self.put_manifest(repository, tag, _type(OCI_INDEX, docker), index)
        return Pushed(f"{self.host}/{repository}:{tag}", digest, index, "", ())

    def has_blob(self, repository: str, digest: str) -> bool:
        return self.request("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200

    def _connection(self) -> http.client.HTTPConnection:
        if self.authority is None:
            return http.client.HTTPConnection(self.host, timeout=20)
        context = ssl.create_default_context(cafile=str(self.authority))
        if self.client:
            context.load_cert_chain(self.client.certificate, self.client.key)
        return http.client.HTTPSConnection(self.host, timeout=20, context=context)

    def _own(self, path: str) -> dict[str, str]:
        if self.tokens:
            name = re.search(r"/v2/(.+)/(?:blobs|manifests|tags)/", path)
            scopes = [f"repository:{name[1]}:pull,push"] if name else []
            return {"Authorization": f"Bearer {self._token(self.tokens, scopes)}"}
        return {"Authorization": basic(USER, PASSWORD)} if self._password else {}

    def _token(self, tokens: TokenServer, scopes: list[str]) -> str:
        """Signing takes openssl some milliseconds: a token serves for a while."""
        key = (tokens.permitted, *scopes)
        made, token = self._tokens.get(key, (float("-inf"), ""))
        if time.monotonic() - made > 60:
            self._tokens[key] = (time.monotonic(), token := tokens.token(USER, scopes))
        return token

    def _access_log(self) -> list[str]:
        return self.log.with_suffix(".access").read_text().splitlines()


def basic(user: str, password: str) -> str:
    """The header of a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@contextmanager
def serving(
    directory: Path,
    *,
    tls: Authority | None = None,
    clients: bool = False,
    password: bool = False,
    tokens: TokenServer | None = None,
    mirror_of: str = "",
    address: str = "127.0.0.1",
) -> Iterator[Registry]:
    """A docker-registry that keeps everything under `directory`; dead when the context, or this process, ends.

    `clients` wants certificates of the same authority. `mirror_of` is the address of what it pulls through.
    """
    need_tool("docker-registry")
    directory.mkdir(parents=True, exist_ok=True)
    pair = tls.issue("server") if tls else None
    client = tls.issue("client") if tls and clients else None
    settings = _settings(directory, f"{address}:0")
    if tls and pair:
        settings["http"]["tls"] = {"certificate": str(pair.certificate), "key": str(pair.key)}
        settings["http"]["tls"] |= {"clientcas": [str(tls.certificate)]} if clients else {}
    if password:
        (directory / "htpasswd").write_text(_HTPASSWD)
        settings["auth"] = {"htpasswd": {"realm": "tests", "path": str(directory / "htpasswd")}}
    if tokens:
        settings["auth"] = {"token": _token_settings(tokens)}
    if mirror_of:
        settings["proxy"] = {"remoteurl": mirror_of}
    with _running(directory, settings) as port:
        yield Registry(
            f"{address}:{port}",
            directory / "registry.log",
            directory / "storage",
            authority=tls.certificate if tls else None,
            client=client,
            password=password,
            tokens=tokens,
        )


def _settings(directory: Path, address: str) -> dict[str, Any]:
    return {
        "version": "0.1",
        "log": {"level": "info", "formatter": "text"},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "storage")},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": address, "secret": "tests"},
    }


def _token_settings(tokens: TokenServer) -> dict[str, str]:
    issuer = "tests of rbuild"
    return {"realm": tokens.realm, "service": tokens.service, "issuer": issuer, "rootcertbundle": str(tokens.bundle)}


@contextmanager
def _running(directory: Path, settings: dict[str, Any]) -> Iterator[int]:
    """The port. The kernel kills the server when this thread, the tests' own, is no more."""
    configuration = directory / "config.yml"
    configuration.write_text(json.dumps(settings))  # which is YAML, too
    log = directory / "registry.log"
    command = [need_tool("setpriv"), "--pdeathsig", "KILL", "docker-registry", "serve", configuration]
    environment = {"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"}
    with log.open("wb") as errors, log.with_suffix(".access").open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment, cwd=directory
        )
    try:
        yield _port(process, log)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """It chooses a free one itself, and says which when it listens."""
    for _ in range(3000):
        found = re.search(r"listening on \S*:(\d+)", log.read_text())
        if found:
            return int(found[1])
        assert process.poll() is None, log.read_text()
        time.sleep(0.005)
    raise AssertionError(f"docker-registry does not listen: {log.read_text()}")


def _type(name: str, docker: bool) -> str:
    return _DOCKER[name] if docker else name


def _encoded(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _platform(text: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))


def _config(tars: list[bytes], platform: str, config: Mapping[str, Any]) -> dict[str, Any]:
    identities = ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]
    rootfs = {"type": "layers", "diff_ids": identities}
    history = [{"created": EPOCH, "created_by": f"COPY {number}"} for number in range(len(tars))]
    return {"created": EPOCH, **_platform(platform), "config": dict(config), "rootfs": rootfs, "history": history}


Factory = pytest.TempPathFactory


@pytest.fixture(scope="session")
def authority(tmp_path_factory: Factory) -> Authority:
    """The authority of every TLS server of these fixtures."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def plain_registry(tmp_path_factory: Factory) -> Iterator[Registry]:
    """Plain HTTP, for everybody."""
    with serving(tmp_path_factory.mktemp("plain")) as registry:
        yield registry


@pytest.fixture(scope="session")
def password_registry(tmp_path_factory: Factory) -> Iterator[Registry]:
    """Plain HTTP, for USER with PASSWORD alone (htpasswd)."""
    with serving(tmp_path_factory.mktemp("password"), password=True) as registry:
        yield registry


@pytest.fixture(scope="session")
def tls_registry(tmp_path_factory: Factory, authority: Authority) -> Iterator[Registry]:
    """HTTPS with a certificate of `authority`, for everybody."""
    with serving(tmp_path_factory.mktemp("tls"), tls=authority) as registry:
        yield registry


@pytest.fixture(scope="session")
def mutual_tls_registry(tmp_path_factory: Factory, authority: Authority) -> Iterator[Registry]:
    """HTTPS, for those who have a certificate of `authority`, as `registry.client` is."""
    with serving(tmp_path_factory.mktemp("mutual"), tls=authority, clients=True) as registry:
        yield registry


@pytest.fixture(scope="session")
def _token_registry(tmp_path_factory: Factory) -> Iterator[Registry]:
    tokens = TokenServer(tmp_path_factory.mktemp("tokens"))
    tokens.users[USER] = PASSWORD
    tokens.identities["an identity token"] = USER
    try:
        with serving(tmp_path_factory.mktemp("token"), tokens=tokens) as registry:
            yield registry
    finally:
        tokens.close()


@pytest.fixture
def token_registry(_token_registry: Registry) -> Registry:
    """Plain HTTP, for those who bring a token of `registry.tokens`, which forgets between tests what it was asked."""
    assert _token_registry.tokens
    _token_registry.tokens.forget()
    return _token_registry


@pytest.fixture(scope="session")
def mirror_registry(tmp_path_factory: Factory, plain_registry: Registry) -> Iterator[Registry]:
    """Pulls through from `plain_registry`; nothing can be pushed to it."""
    with serving(tmp_path_factory.mktemp("mirror"), mirror_of=plain_registry.url) as registry:
        yield registry
