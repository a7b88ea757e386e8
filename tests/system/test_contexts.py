"""Contexts and ADD from elsewhere, in whole builds: what hostile ones must not reach; each kind of --build-context."""

from __future__ import annotations

import io
import os
import shutil
import socket
import ssl
import subprocess
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from builder.building import Never
from builder.errors import NetworkError
from builder.net.client import Patience
from builder.sources.http_client import Downloads
from tests.support.builds import build, write_context
from tests.support.command import tier_works
from tests.support.web import Web
from tests.system.test_remote import archive, fails, members, piped

if TYPE_CHECKING:
    from pathlib import Path

    from builder.net.client import Answer
    from tests.support.command import Rbuild


def packed(*entries: tarfile.TarInfo, dockerfile: str = "FROM scratch\nCOPY . /\n") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b"x" * entry.size))
        text = tarfile.TarInfo("Dockerfile")
        text.size = len(dockerfile)
        tar.addfile(text, io.BytesIO(dockerfile.encode()))
    return out.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size, found.devmajor, found.devminor = kind, link, size, 1, 3
    return found


# --- ADD ---


def test_local_remote_and_repository_in_one_add(rbuild: Rbuild, web: Web, context: Path) -> None:
    """The last one to write a name has it, wherever it came from."""
    web.repository("r", "printf git >same; printf git >g")
    (web.root / "same").write_text("web")
    files = {"one": "local", "d/same": "local"}

    def content(sources: str) -> str:
        write_context(context, f"FROM scratch\nADD {sources} /\n", files)
        out = rbuild.store.parent / "o"
        build(rbuild, "--isolation=none", "-o", f"type=local,dest={out}", context)
        found = (out / "same").read_text()
        shutil.rmtree(out)
        return found

    local, url, git = "d/same one", f"{web.url}/same", f"{web.url}/r.git"
    assert content(f"{local} {url} {git}") == "git"
    assert content(f"{git} {local} {url}") == "web"
    assert content(f"{url} {git} {local}") == "local"


def test_a_download_in_a_layer_of_its_own(rbuild: Rbuild, web: Web, context: Path) -> None:
    (web.root / "a").write_text("1")
    write_context(context, f"FROM scratch\nCOPY Dockerfile /x\nADD --link {web.url}/a /d/\n")
    first = build(rbuild, "--isolation=none", context)
    assert "d/a" in members(rbuild, context)
    (context / "Dockerfile").write_text(f"FROM scratch\nCOPY Dockerfile /y\nADD --link {web.url}/a /d/\n")
    again = build(rbuild, "--isolation=none", context)
    assert [step for step in again.steps("StepStarted") if step.startswith("ADD")] == []
    assert again.digest != first.digest


@pytest.mark.parametrize("tier", ["userns", "single"])
def test_a_download_that_a_step_reads(rbuild: Rbuild, web: Web, base: str, context: Path, tier: str) -> None:
    """Root owns the file and reads it."""
    if not tier_works(tier):
        pytest.skip(f"this host does not give tier {tier}")
    (web.root / "a").write_text("hello")
    write_context(context, f"FROM busybox\nADD {web.url}/a /d/\nRUN cat /d/a && stat -c %u:%g:%a /d/a\n")
    run = rbuild("build", "--progress=plain", f"--isolation={tier}", context, status=0)
    assert "hello" in run.stderr
    assert "0:0:600" in run.stderr


def test_offline_names_the_instruction(rbuild: Rbuild, web: Web, context: Path) -> None:
    for source in ("/a", "/r.git"):
        write_context(context, f"FROM scratch\nLABEL a=1\nADD {web.url}{source} /\n")
        run = rbuild("--isolation=none", "--offline", context, status=4)
        assert "Dockerfile:3" in run.stderr
        assert "--offline forbids" in run.stderr
    assert not web.asked


# --- the network ---


class _Proxy(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"seen")


def serve(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_a_proxy_is_asked(rbuild: Rbuild, context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Proxy(_Proxy):
        asked: ClassVar[list[str]] = []

    server = serve(Proxy)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    write_context(context, "FROM scratch\nADD http://nowhere.invalid/a?b=c /\n")
    assert members(rbuild, context)["a"].size == 4
    assert next(path.replace(":80/", "/") for path in Proxy.asked) == "http://nowhere.invalid/a?b=c"
    server.shutdown()
    server.server_close()


AUTHORITY = """
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out request
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' >extensions
openssl x509 -req -days 2 -in request -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out cert.pem
"""


def test_a_private_authority(rbuild: Rbuild, context: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trusted only when the environment says so."""
    subprocess.run(["sh", "-ec", AUTHORITY], cwd=tmp_path, capture_output=True, check=True)

    class Page(_Proxy):
        asked: ClassVar[list[str]] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.daemon_threads = True
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    write_context(context, f"FROM scratch\nADD https://localhost:{server.server_port}/a /\n")
    assert "certificate" in fails(rbuild, context, status=4).lower()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert members(rbuild, context)["a"].size == 4
    server.shutdown()
    server.server_close()


def test_a_server_that_falls_silent(context: Path) -> None:
    """It is left within the time that is given, in the head and in the body."""
    for said in (b"", b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nabc"):
        listening = socket.create_server(("127.0.0.1", 0))
        taken: list[socket.socket] = []

        def answer(listening: socket.socket = listening, said: bytes = said, taken: list[Any] = taken) -> None:
            connection, _ = listening.accept()
            connection.sendall(said)
            taken.append(connection)

        thread = threading.Thread(target=answer)
        thread.start()
        client = Downloads(lambda _: None, Never(), Patience(connect=1, silence=0.3, tries=1))
        begin = time.monotonic()
        with pytest.raises(NetworkError, match=r"127\.0\.0\.1"):
            client.get(f"http://127.0.0.1:{listening.getsockname()[1]}/a", {}, _read_all)
        assert time.monotonic() - begin < 5
        thread.join()
        for each in (*taken, listening):
            each.close()


def _read_all(response: Answer) -> None:
    while response.read():
        pass


# --- contexts ---


@pytest.mark.parametrize("program", ["zstd", "xz", "bzip2", "gzip"])
def test_an_archive_on_standard_input(rbuild: Rbuild, program: str) -> None:
    plain = archive("", {"Dockerfile": b"FROM scratch\nCOPY a /\n", "a": b"1" * 200_000})
    content = subprocess.run([program, "-c"], input=plain, capture_output=True, check=True).stdout
    done = piped(rbuild, ["-"], content)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "entries",
    [
        [entry("../canary", size=1)],
        [entry("/{room}/canary", size=1)],
        [entry("out", tarfile.SYMTYPE, "{room}"), entry("out/canary", size=1)],
        [entry("out", tarfile.SYMTYPE, "../../../../../../../../../../../../{room}"), entry("out/canary", size=1)],
        [entry("c", tarfile.LNKTYPE, "{room}/canary"), entry("c", size=1)],
        [entry("c", tarfile.LNKTYPE, "../../canary")],
        [entry("node", tarfile.CHRTYPE)],
        [entry("node", tarfile.BLKTYPE)],
        [entry("canary", tarfile.SYMTYPE, "{room}/canary")],
    ],
)
def test_a_hostile_archive_reaches_nothing(rbuild: Rbuild, tmp_path: Path, entries: list[tarfile.TarInfo]) -> None:
    """It may be refused, or unpacked below its own root: the canary stays as it is, and is not in the image."""
    (tmp_path / "canary").write_text("alive")
    hostile = []
    for each in entries:
        copied = entry(each.name.replace("/{room}", str(tmp_path)), each.type, each.linkname, each.size)
        copied.linkname = copied.linkname.replace("{room}", str(tmp_path))
        hostile.append(copied)
    (tmp_path / "c.tar").write_bytes(packed(*hostile))
    out = tmp_path / "out.tar"
    run = subprocess.run(
        [rbuild.command, "--isolation=none", "-o", f"type=tar,dest={out}", tmp_path / "c.tar"],
        env=rbuild.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in run.stderr
    assert (tmp_path / "canary").read_text() == "alive"
    assert not out.exists() or b"alive" not in out.read_bytes()
    if any(each.ischr() or each.isblk() for each in entries):
        assert run.returncode == 1 and "device node" in run.stderr


def test_a_dockerfile_outside_of_its_context(rbuild: Rbuild, context: Path, tmp_path: Path) -> None:
    """Its own ignore file stands beside it, and not in the context, whose one is then not read."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/My.file").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / "other/My.file.dockerignore").write_text("b\nDockerfile\n.dockerignore\n")
    write_context(context, "FROM scratch\n", {"a": "1", "b": "2", ".dockerignore": "a\n"})
    assert set(members(rbuild, "-f", tmp_path / "other/My.file", context)) == {"a"}


def test_the_names_of_the_dockerfile(rbuild: Rbuild, context: Path) -> None:
    (context / "Containerfile").write_text("FROM scratch\nLABEL a=1\n")
    assert "-f" in (run := rbuild("--isolation=none", context, status=2)).stderr
    assert "Containerfile" in run.stderr
    (context / "dockerfile").write_text("FROM scratch\nCOPY dockerfile /\n")
    assert set(members(rbuild, context)) == {"dockerfile"}
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    assert set(members(rbuild, context)) == {"Dockerfile"}


def test_a_link_of_a_context_from_elsewhere_leads_nowhere_outside(rbuild: Rbuild, web: Web, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("FROM scratch\nLABEL canary=alive\n")
    web.repository("r", f"ln -s {tmp_path}/secret Dockerfile; ln -s ../.. up")
    assert fails(rbuild, f"{web.url}/r.git")
    assert fails(rbuild, "-f", "up/secret", f"{web.url}/r.git")
    assert fails(rbuild, f"{web.url}/r.git#v1:up")


@pytest.mark.parametrize(
    "address",
    [
        "--upload-pack=touch {canary}",
        "git@-oProxyCommand=touch {canary}:r.git",
        "ssh://-oProxyCommand=touch%20{canary}/r.git",
        "ext::sh -c touch% {canary}",
        "file://{canary}.git",
        "git://127.0.0.1:1/r.git#--upload-pack=touch {canary}",
    ],
)
def test_an_address_is_no_option(rbuild: Rbuild, address: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    command = [rbuild.command, "--isolation=none", "--", address.replace("{canary}", str(canary))]
    run = subprocess.run(command, env=rbuild.environment, capture_output=True, text=True, check=False)
    assert run.returncode in (1, 2, 4)
    assert "Traceback" not in run.stderr
    assert not canary.exists()


# --- --build-context ---


@pytest.fixture
def kinds(rbuild: Rbuild, web: Web, tmp_path: Path) -> dict[str, str]:
    """The same one file `f`, in every kind of named context."""
    folder = tmp_path / "folder"
    write_context(folder, "FROM scratch\nCOPY f /\n", {"f": "1"})
    words = ["--isolation=none", "-t", "kept:1", "-o", f"type=oci,tar=false,dest={tmp_path / 'layout'}", folder]
    digest = build(rbuild, *words).digest
    (web.root / "c.tar").write_bytes(archive("", {"f": b"1"}))
    web.repository("r", "printf 1 >f; mkdir d; printf 1 >d/f")
    layout = f"oci-layout://{tmp_path / 'layout'}"
    return {
        "directory": str(folder),
        "archive": str(web.root / "c.tar"),
        "web": f"{web.url}/c.tar",
        "git": f"{web.url}/r.git",
        "git-directory": f"{web.url}/r.git#v1:d",
        "image": "docker-image://kept:1",
        "image-digest": f"docker-image://kept@{digest}",
        "layout": layout,
        "layout-tag": f"{layout}:1",
        "layout-digest": f"{layout}@{digest}",
    }


KINDS = ["directory", "archive", "web", "git", "git-directory", "image", "image-digest", "layout", "layout-tag"]


@pytest.mark.parametrize("kind", [*KINDS, "layout-digest"])
def test_each_kind_of_named_context(rbuild: Rbuild, kinds: dict[str, str], context: Path, kind: str) -> None:
    """As a base and as a source; under its own name, and under one for the platform."""
    text = "FROM other AS base\nFROM scratch\nCOPY --from=base f /base\nCOPY --from=other f /other\n"
    write_context(context, text)
    for name in ("other", "other::linux/amd64"):
        assert set(members(rbuild, "--platform=linux/amd64", "--build-context", f"{name}={kinds[kind]}", context)) == {
            "base",
            "other",
        }


def test_a_named_context_of_another_platform_is_not_meant(rbuild: Rbuild, context: Path, tmp_path: Path) -> None:
    write_context(context, "FROM scratch\nCOPY --from=other f /\n")
    (tmp_path / "f").write_text("1")
    words = ["--pull=never", "--platform=linux/amd64", "--build-context", f"other::linux/arm64={tmp_path}", context]
    assert "other" in fails(rbuild, *words)


@pytest.mark.parametrize("value", ["oci-layout:///nowhere", "docker-image://unknown:1", "/nowhere", "-", ""])
def test_a_named_context_that_is_not_there(rbuild: Rbuild, context: Path, value: str) -> None:
    write_context(context, "FROM scratch\nCOPY --from=other f /\n")
    run = subprocess.run(
        [rbuild.command, "--isolation=none", "--pull=never", "--build-context", f"other={value}", context],
        env=rbuild.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in (1, 2)
    assert "Traceback" not in run.stderr
    assert "other" in run.stderr or os.path.basename(value) in run.stderr


# --- several at a time ---


def test_downloads_come_together(rbuild: Rbuild, base: str, context: Path) -> None:
    """Each is answered only when all have been asked for; then a step runs in a namespace that no thread disturbs."""
    meeting = threading.Barrier(4, timeout=20)

    class Page(_Proxy):
        asked: ClassVar[list[str]] = []

        def do_GET(self) -> None:
            meeting.wait()
            super().do_GET()

    server = serve(Page)
    lines = [f"ADD http://127.0.0.1:{server.server_port}/{number} /d/\n" for number in range(4)]
    write_context(context, "".join(["FROM busybox\n", *lines, "RUN ls /d\n"]))
    told = build(rbuild, context)
    fetched = [step for step in told.steps("StepStarted") if step.startswith("fetch")]
    assert len(fetched) == 4
    assert [event["line"] for event in told["StepLog"]].count("4 bytes") == 4
    server.shutdown()
    server.server_close()


def test_what_is_revalidated_is_shown_as_cached(rbuild: Rbuild, web: Web, context: Path) -> None:
    (web.root / "a").write_text("1")
    web.repository("r", "echo 1 >b")
    write_context(context, f"FROM scratch\nADD {web.url}/a {web.url}/r.git /\n")
    first = build(rbuild, "--isolation=none", context)
    assert sum(step.startswith("fetch") for step in first.steps("StepStarted")) == 2
    again = build(rbuild, "--isolation=none", context)
    assert not again.steps("StepStarted")
    assert sum(step.startswith("fetch") for step in again.steps("StepCached")) == 2


def test_of_several_downloads_the_first_failure_is_told(rbuild: Rbuild, web: Web, context: Path) -> None:
    (web.root / "a").write_text("1")
    write_context(context, f"FROM scratch\nADD {web.url}/a /\nADD {web.url}/no /\nADD {web.url}/neither /\n")
    run = rbuild("--isolation=none", context, status=4)
    assert "Dockerfile:3" in run.stderr
    assert web.statuses("/no") == [404]


# --- the early steps alone ---


@pytest.mark.parametrize("words", [["parse", "-"], ["parse", "-f", "-", "."], ["plan", "-"], ["plan", "-f", "-", "."]])
def test_the_early_steps_read_standard_input(rbuild: Rbuild, words: list[str]) -> None:
    run = subprocess.run(
        [rbuild.command, *words], input=b"FROM scratch\nWORKDIR /b\n", env=rbuild.environment, capture_output=True
    )
    assert run.returncode == 0, run.stderr
    assert b"/b" in run.stdout


def test_plan_fetches_and_parse_refuses_what_is_elsewhere(rbuild: Rbuild, web: Web) -> None:
    web.repository("r", "printf 'FROM scratch\\nWORKDIR /b\\n' >Dockerfile")
    assert "/b" in rbuild("plan", f"{web.url}/r.git").stdout
    for words in (["parse"], ["build", "--check"]):
        run = rbuild(*words, f"{web.url.replace('://', '://u:hush@')}/r.git", status=2)
        assert f"not {web.url}/r.git" in run.stderr
