"""rbuild login and logout, with real registries; and that no output, event or file of ours ever holds a secret."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from builder.cli.console import Console
from builder.cli.main import main
from tests.support.registries import PASSWORD, USER, Registry
from tests.support.tools import ROOT, need_tool

DECODED = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Ran(NamedTuple):
    status: int
    out: str
    err: str


class Session:
    """The command line of one user, who has a home and types, or pipes, what `stdin` says."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "PATH": os.environ["PATH"]}
        self.said = ""
        self._monkeypatch = monkeypatch

    def __call__(self, *words: str, stdin: str = "", status: int = 0) -> Ran:
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        out, err = io.StringIO(), io.StringIO()
        ran = Ran(main(words, Console(out, err, self.environ)), out.getvalue(), err.getvalue())
        assert ran.status == status, ran
        self.said += ran.out + ran.err
        return ran

    def login(self, host: str, *words: str, password: str = PASSWORD, status: int = 0) -> Ran:
        return self("login", "-u", USER, "--password-stdin", *words, host, stdin=f"{password}\n", status=status)

    @property
    def file(self) -> Path:
        return self.home / ".docker/config.json"

    def kept(self) -> dict[str, dict[str, str]]:
        loaded: dict[str, dict[str, str]] = json.loads(self.file.read_text())["auths"] if self.file.exists() else {}
        return loaded


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)  # reading the system's authorities takes 40 ms, each time
    session = Session(tmp_path, monkeypatch)
    yield session
    assert not [secret for secret in (PASSWORD, DECODED) if secret in session.said]


@pytest.mark.parametrize("kind", ["password_registry", "token_registry"])
def test_a_login_is_tried_and_kept(session: Session, kind: str, request: pytest.FixtureRequest) -> None:
    registry: Registry = request.getfixturevalue(kind)
    ran = session.login(registry.host)

    assert ran.out == f"logged in to {registry.host} as {USER}: {session.file}\n"
    assert f"warning: {session.file} holds the password as it is" in ran.err
    assert session.kept() == {registry.host: {"auth": DECODED}}
    assert session("login", "--get-login", registry.host).out == f"{USER}\n"


@pytest.mark.parametrize("kind", ["password_registry", "token_registry"])
def test_a_login_that_is_refused_is_not_kept(session: Session, kind: str, request: pytest.FixtureRequest) -> None:
    registry: Registry = request.getfixturevalue(kind)
    ran = session.login(registry.host, password="a wrong one", status=3)

    assert f"error: {registry.host}: " in ran.err
    assert "401 Unauthorized: the login of ann is refused" in ran.err
    assert "a wrong one" not in ran.err
    assert "hint: check the user name and the password" in ran.err
    assert session.kept() == {}


def test_an_old_login_stays_when_a_new_one_is_refused(session: Session, password_registry: Registry) -> None:
    session.login(password_registry.host)
    session.login(password_registry.host, password="a wrong one", status=3)
    assert session.kept() == {password_registry.host: {"auth": DECODED}}


def test_a_login_for_some_repositories(session: Session, password_registry: Registry) -> None:
    host = password_registry.host
    session.login(f"{host}/team")
    session.login(host)

    assert set(session.kept()) == {host, f"{host}/team"}
    ran = session("logout", host)
    assert ran.out == f"logged out of {host}: {session.file}\n"
    assert ran.err == f"note: credentials for {host}/team are still kept: rbuild logout {host}/team\n"
    assert set(session.kept()) == {f"{host}/team"}


def test_a_registry_that_asks_nobody_is_told(session: Session, plain_registry: Registry) -> None:
    ran = session.login(plain_registry.host)
    assert f"warning: {plain_registry.host} asks for no credentials, so that these could not be tried" in ran.err
    assert set(session.kept()) == {plain_registry.host}


def test_a_login_over_tls(session: Session, tls_registry: Registry) -> None:
    session.login(tls_registry.host, status=4)
    session.login(tls_registry.host, "--tls-ca", str(tls_registry.authority))
    assert set(session.kept()) == {tls_registry.host}


def test_a_login_in_a_file_that_is_named(session: Session, password_registry: Registry) -> None:
    named = session.home / "new/auth.json"
    ran = session.login(password_registry.host, "--authfile", str(named))
    assert ran.out.endswith(f": {named}\n")
    assert not session.file.exists()
    session("login", "--get-login", password_registry.host, status=3)
    assert session("login", "--get-login", "--authfile", str(named), password_registry.host).out == f"{USER}\n"
    session("logout", "--authfile", str(named), password_registry.host)
    assert json.loads(named.read_text()) == {"auths": {}}


def test_skopeo_reads_our_logins_and_we_read_its(session: Session, password_registry: Registry) -> None:
    skopeo, host = need_tool("skopeo"), password_registry.host
    image = password_registry.push("login/skopeo")
    session.login(host)
    insecure = ["--tls-verify=false", "--authfile"]
    shown = subprocess.run(
        [skopeo, "inspect", *insecure, session.file, "--format={{.Digest}}", f"docker://{image.reference}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == image.digest

    theirs = session.home / "theirs.json"
    subprocess.run([skopeo, "login", *insecure, theirs, f"-u{USER}", f"-p{PASSWORD}", host], check=True)
    assert session("login", "--get-login", "--authfile", str(theirs), host).out == f"{USER}\n"
    session("logout", "--authfile", str(theirs), host)
    session("login", "--get-login", "--authfile", str(theirs), host, status=3)


def test_a_logout_of_all_and_of_nothing(session: Session, password_registry: Registry) -> None:
    assert session("logout").out == "not logged in to docker.io\n"
    assert session("logout", "--all").out == "not logged in to any registry\n"
    session.login(password_registry.host)
    session.login(f"{password_registry.host}/team")
    lines = session("logout", "--all").out.splitlines()
    assert lines == [
        f"logged out of {name}: {session.file}" for name in (password_registry.host, f"{password_registry.host}/team")
    ]
    assert session.kept() == {}


@pytest.mark.parametrize(
    ("words", "stdin", "fault"),
    [
        (("-u", "a", "-p", "secret", "quay.io"), "", "a password on the command line is refused"),
        (("--password=secret", "quay.io"), "", "a password on the command line is refused"),
        (("-u", "a", "-psecret", "quay.io"), "", "a password on the command line is refused"),
        (("-u", "a", "quay.io"), "secret", "there is no terminal to ask for the password on"),
        (("--password-stdin", "quay.io"), "secret", "the user name is missing"),
        (("-u", "a:secret", "--password-stdin", "quay.io"), "secret", "-u a:…: a user name holds no colon"),
        (("-u", "a", "--password-stdin", "quay.io"), "", "the password is empty"),
        (("-u", "a", "--password-stdin", "quay.io"), "secret\nsecret", "the password has more than one line"),
        (("-u", "a", "--password-stdin", "quay.io"), "secret\udcff", "the password is not UTF-8"),
        (("-u", "\udcff", "--password-stdin", "quay.io"), "secret", "the user name is not UTF-8"),
        (("-u", "a", "--password-stdin", "quay.io"), "secret" * 20000, "standard input holds too much"),
        (("-u", "a", "--password-stdin", "quay"), "secret", "quay: not a registry, or a prefix of repositories"),
        (("-u", "a", "--password-stdin", "quay.io/a:1"), "secret", "quay.io/a:1: not a registry"),
        (("-u", "a", "--password-stdin", "quay.io/A"), "secret", "quay.io/A: not a registry"),
        (("-u", "a", "--password-stdin", "quay.io:x"), "secret", "quay.io:x: not a registry"),
        (("quay.io", "ghcr.io"), "secret", "unexpected argument: ghcr.io"),
    ],
)
def test_what_is_wrong_with_a_login(session: Session, words: tuple[str, ...], stdin: str, fault: str) -> None:
    """Nothing of a password is told, and no registry is asked."""
    ran = session("login", *words, stdin=stdin, status=2)
    assert f"error: {fault}" in ran.err
    assert "secret" not in ran.err
    assert session.kept() == {}


def test_a_password_is_asked_for_on_the_terminal_and_not_shown(session: Session, password_registry: Registry) -> None:
    need_tool("setsid")
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", "--wait", sys.executable, "-m", "builder", "login", password_registry.host]
    with open(ours, "r+b", buffering=0) as terminal, open(theirs, "rb", buffering=0) as slave:
        process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=session.environ, cwd=ROOT)
        shown = b""
        for prompt, typed in ((b"Username: ", USER), (b"Password: ", PASSWORD)):
            shown = _shown(ours, shown, prompt)
            terminal.write(f"{typed}\n".encode())
        shown = _shown(ours, shown, b"(docs/registries.md)")
        assert process.wait(20) == 0

    assert f"logged in to {password_registry.host} as {USER}".encode() in shown
    assert PASSWORD.encode() not in shown
    assert set(session.kept()) == {password_registry.host}


def _shown(terminal: int, before: bytes, until: bytes) -> bytes:
    """All that the terminal has shown when it shows `until`."""
    while until not in before:
        assert select.select([terminal], [], [], 20)[0], before
        before += os.read(terminal, 4096)
    return before


@pytest.mark.parametrize("mode", ["plain", "json", "rawjson"])
def test_no_secret_is_told_or_stored(
    session: Session, token_registry: Registry, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is pulled, built or pushed, and whether it works: no password, token or header, nor in the store."""
    host, tokens = token_registry.host, token_registry.tokens
    assert tokens
    token_registry.push("secrets/app")
    session.environ |= {"RBUILD_STORE": str(session.home / "store"), "RBUILD_DEBUG": "1"}
    for name in ("HOME", "XDG_RUNTIME_DIR", "RBUILD_STORE"):  # those of the process are looked at, too
        monkeypatch.setenv(name, session.environ[name])
    monkeypatch.delenv("DOCKER_CONFIG")
    session.login(host)
    given = len(tokens.issued)
    session("pull", f"--progress={mode}", f"{host}/secrets/app")
    session("pull", f"--progress={mode}", f"{host}/secrets/missing", status=5)
    (session.home / "context").mkdir()
    (session.home / "context/Dockerfile").write_text(f"FROM {host}/secrets/app\nCOPY Dockerfile /\n")
    session("build", f"--progress={mode}", "--pull", "-t", f"{host}/secrets/built", "--push", f"{session.home}/context")
    tokens.permitted = lambda user, repository: set()
    session("pull", f"--progress={mode}", f"{host}/secrets/app2", status=3)
    tokens.failures = [403]
    session("pull", f"--progress={mode}", f"{host}/secrets/app3", status=3)
    session("pull", f"--progress={mode}", f"--creds={USER}:{PASSWORD}", f"{host}/secrets/app4", status=3)

    assert len(tokens.issued) > given
    secrets = [PASSWORD, DECODED, "Authorization", *(token for token in tokens.issued)]
    assert not [secret for secret in secrets if secret in session.said]
    stored = b"".join(path.read_bytes() for path in (session.home / "store").rglob("*") if path.is_file())
    assert b"secrets/built" in stored
    assert not [secret for secret in secrets if secret.encode() in stored]
