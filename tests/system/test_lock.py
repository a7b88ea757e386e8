"""rbuild lock, and builds that follow a lock: with a real server, real repositories and images of a real store."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from builder.cli.doors import Doors
from tests.support import fake_rooms
from tests.support.builds import build, write_context
from tests.support.registries import Pushed, Registry
from tests.support.web import GIT, Web

DOCKERFILE = """\
FROM scratch AS unused
ADD {web}/only /
FROM base AS first
ADD {web}/a /
FROM first
ADD {web}/r.git#main /r/
COPY . /all/
COPY --from=tools /t /
ONBUILD ADD {web}/never /
"""


def sha256(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class Rbuild:
    """The command line in this very process: nothing here has anything to RUN."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
        self._set = monkeypatch.setenv
        self.renew(store)

    def renew(self, store: Path) -> None:
        self._set("RBUILD_STORE", str(store))

    def __call__(
        self, *words: str | Path, status: int = 0, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        ran = fake_rooms.rbuild(*map(str, words), doors=Doors(), environ=os.environ)
        assert ran.status == status, ran.out + ran.err
        return subprocess.CompletedProcess(words, ran.status, ran.out, ran.err)


@pytest.fixture
def rbuild(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rbuild:
    return Rbuild(monkeypatch, tmp_path / "store")


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def image(rbuild: Rbuild, scratch: Path, name: str, dockerfile: str, *words: str) -> str:
    scratch.mkdir(exist_ok=True)
    write_context(scratch, dockerfile)
    return digest(rbuild, "-t", name, *words, scratch)


def digest(rbuild: Rbuild, *words: str | Path) -> str:
    return rbuild("--isolation=none", "-q", *words).stdout.strip()


def message(rbuild: Rbuild, *words: str | Path, status: int = 1) -> str:
    return rbuild("--isolation=none", *words, status=status).stderr


def commit_again(web: Web, name: str, content: str) -> str:
    """One more commit on main of a repository; its digits."""
    script = f"echo {content} >f; $G add -A; $G commit -qm more; $G push -q ../{name}.git main; $G rev-parse HEAD"
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "G": " ".join(GIT)}
    work = web.root / f"{name}-work"
    return subprocess.run(
        ["sh", "-ec", script], cwd=work, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def sources(rbuild: Rbuild, web: Web, context: Path, tmp_path: Path) -> dict[str, str]:
    """A context that takes two images, two files and a repository; what each is, by its line in a lock."""
    base = image(rbuild, tmp_path / "base", "base", f"FROM scratch\nONBUILD ADD {web.url}/trigger /\n")
    tools = image(rbuild, tmp_path / "tools", "tools", "FROM scratch\nCOPY Dockerfile /t\n")
    for name in ("a", "only", "trigger"):
        (web.root / name).write_text(name)
    commit = web.repository("r", "echo 1 >f")
    write_context(context, DOCKERFILE.format(web=web.url))
    return {
        "image docker.io/library/base:latest linux/amd64": base,
        "image docker.io/library/tools:latest linux/amd64": tools,
        f"git {web.url}/r.git#main": commit,
        f"url {web.url}/a": sha256("a"),
        f"url {web.url}/only": sha256("only"),
        f"url {web.url}/trigger": sha256("trigger"),
    }


def test_a_lock_holds_every_source_and_a_build_follows_it(
    rbuild: Rbuild, web: Web, context: Path, sources: dict[str, str], tmp_path: Path
) -> None:
    lock = context / "rbuild.lock"
    before = build(rbuild, "--isolation=none", context)
    told = rbuild("lock", context).stdout
    text = lock.read_text()
    rows = [line.rpartition(" ")[::2] for line in text.splitlines()[3:] if line]
    assert rows == [*sources.items()]
    assert text.splitlines()[1:3] == ["rbuild-lock 1", "platform linux/amd64"]
    assert told.endswith(f"{lock}: 6 added (6 sources)\n")

    # Writing it down changes nothing: every step is found, and COPY . does not see it.
    locked = build(rbuild, "--isolation=none", context)
    assert (locked.digest, locked.steps("StepStarted")) == (before.digest, [])
    assert rbuild("lock", context).stdout == f"{lock}: up to date (6 sources)\n"

    # Everything moves on, and the build does not.
    image(rbuild, tmp_path / "base", "base", "FROM scratch\nLABEL new=1\n")
    moved = commit_again(web, "r", "2")
    assert digest(rbuild, "--locked", context) == before.digest
    assert rbuild("lock", "--check", context).stdout == f"{lock}: up to date (6 sources)\n"
    assert digest(rbuild, "--no-lock", context) != before.digest

    # One thing at a time is looked up again; comments stay.
    lock.write_text(text.replace("\ngit ", "\n# the library\ngit ").rstrip() + " # why\n")
    said = rbuild("lock", "--update", f"{web.url}/r.git", context).stdout
    assert said.startswith(
        f"updated  git {web.url}/r.git#main {sources[f'git {web.url}/r.git#main'][:19]} -> {moved[:19]}\n"
    )
    expected = text.replace(sources[f"git {web.url}/r.git#main"], moved).replace("\ngit ", "\n# the library\ngit ")
    assert lock.read_text() == expected.rstrip() + " # why\n"
    said = rbuild("lock", "--update=base", "--check", "--pull=missing", context, status=1)
    assert re.fullmatch(
        r"updated  image docker.io/library/base:latest linux/amd64 sha256:\w{12} -> sha256:\w{12}\n"
        rf"removed  url {web.url}/trigger sha256:\w{{12}} # why\n"
        rf"{lock}: 1 updated, 1 removed \(5 sources\)\n",
        said.stdout,
    )
    assert f"error: {lock} is out of date" in said.stderr
    assert lock.read_text() == expected.rstrip() + " # why\n"


def test_a_changed_download_ends_the_build_locked_or_not(
    rbuild: Rbuild, web: Web, context: Path, tmp_path: Path
) -> None:
    (web.root / "a").write_text("1")
    lines = f"FROM scratch\nADD {web.url}/a /\n"
    rbuild("lock", write_context(context, lines))
    (web.root / "a").write_text("2")
    rbuild.renew(tmp_path / "another-store")
    error = message(rbuild, context)
    assert f"Dockerfile:2: {web.url}/a: the checksum is {sha256('2')}, and not {sha256('1')}" in error
    assert f"as {context}/rbuild.lock:5 has it" in error
    assert f"rbuild lock --update {web.url}/a" in error
    assert digest(rbuild, "--no-lock", context)
    # What the Dockerfile says comes first when locking, and against the lock in a build.
    write_context(context, lines.replace("ADD", f"ADD --checksum={sha256('2')}"))
    assert f"the checksum here is {sha256('2')}, and {context}/rbuild.lock:5 says {sha256('1')}" in message(
        rbuild, context
    )
    assert "1 updated" in rbuild("lock", context).stdout
    assert digest(rbuild, "--locked", context)


def test_what_is_not_locked_is_told_of_and_with_locked_refused(
    rbuild: Rbuild, web: Web, context: Path, sources: dict[str, str]
) -> None:
    assert f"--locked: there is no lock file ({context}/rbuild.lock)" in message(rbuild, "--locked", context)
    rbuild("lock", "--target", "unused", context)
    error = message(rbuild, "--locked", context)
    assert f"--locked: 4 sources are not in {context}/rbuild.lock\n" in error
    for line, name in (
        (3, "image docker.io/library/base:latest"),
        (4, f"url {web.url}/a"),
        (6, f"git {web.url}/r.git#main"),
    ):
        assert f"  {context}/Dockerfile:{line}: {name}" in error
    assert f"  {context}/Dockerfile:8: image docker.io/library/tools:latest linux/amd64\n" in error
    warnings = [event["message"] for event in build(rbuild, "--isolation=none", context)["Notice"]]
    assert f"{context}/Dockerfile:4: url {web.url}/a is not locked; rbuild lock adds it" in warnings
    assert "did you mean" in rbuild("lock", "--update", f"{web.url}/onyl", context, status=2).stderr


def test_each_platform_is_locked_by_itself(rbuild: Rbuild, context: Path, tmp_path: Path) -> None:
    both = ("--platform", "linux/amd64,linux/arm64")
    image(rbuild, tmp_path / "base", "base", "FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\n", *both)
    write_context(context, "FROM base\nCOPY Dockerfile /\n")
    rbuild("lock", *both, context)
    lines = (context / "rbuild.lock").read_text().splitlines()
    assert lines[2:4] == ["platform linux/amd64", "platform linux/arm64"]
    assert [line.split()[2] for line in lines[5:]] == ["linux/amd64", "linux/arm64"]
    assert lines[5].split()[3] != lines[6].split()[3]
    before = digest(rbuild, *both, "--locked", context)
    image(rbuild, tmp_path / "base", "base", "FROM scratch\nLABEL new=1\n", *both)
    assert digest(rbuild, *both, "--locked", context) == before
    # The platforms of the lock are kept until others are asked for.
    assert "2 updated" in rbuild("lock", "--update", "--pull=missing", context).stdout
    assert "removed  platform linux/arm64\n" in rbuild("lock", "--platform=linux/amd64", context).stdout
    assert "linux/arm64" in message(rbuild, *both, "--locked", context)


def test_a_lock_of_another_name_and_place(rbuild: Rbuild, web: Web, context: Path, tmp_path: Path) -> None:
    (web.root / "a").write_text("1")
    write_context(context, "", {"App.Dockerfile": f"FROM scratch\nADD {web.url.replace('//', '//u:hush@')}/a /\n"})
    app = context / "App.Dockerfile"
    rbuild("lock", "-f", app, context)
    (context / "App.Dockerfile.lock").chmod(0o600)
    assert "hush" not in (context / "App.Dockerfile.lock").read_text()
    before = digest(rbuild, "--locked", "-f", app, context)
    elsewhere = tmp_path / "elsewhere.lock"
    elsewhere.symlink_to(tmp_path / "real.lock")
    rbuild("lock", "--lock", elsewhere, "-f", app, context)
    assert elsewhere.is_symlink()
    (context / "App.Dockerfile.lock").unlink()
    assert digest(rbuild, "--locked", "--lock", elsewhere, "-f", app, context) == before
    assert "there is no such file" in message(rbuild, "--lock", tmp_path / "none", context)
    assert "exclude each other" in message(rbuild, "--no-lock", "--locked", context, status=2)
    assert "--lock FILE names one" in rbuild("lock", f"{web.url}/r.git", status=2).stderr


def test_a_context_from_elsewhere_brings_its_lock(rbuild: Rbuild, web: Web, tmp_path: Path) -> None:
    (web.root / "a").write_text("1")
    work = tmp_path / "work"
    work.mkdir()
    rbuild("lock", write_context(work, f"FROM scratch\nADD {web.url}/a /\nCOPY . /x/\n"))
    web.repository("p", f"cp {work}/* .")
    rbuild.renew(tmp_path / "another-store")
    (web.root / "a").write_text("2")
    assert "as rbuild.lock:5 has it" in message(rbuild, f"{web.url}/p.git")
    (web.root / "a").write_text("1")
    same = "--build-arg=SOURCE_DATE_EPOCH=0"
    assert digest(rbuild, same, "--locked", f"{web.url}/p.git") == digest(rbuild, same, work)


def test_every_way_to_name_a_source(rbuild: Rbuild, web: Web, context: Path, tmp_path: Path) -> None:
    """--build-context of images, files and repositories, a mount from an image, a repository with its .git."""
    (web.root / "files.tar").write_bytes(archive({"f": b"1"}))
    commit = web.repository("r", "echo 1 >f")
    base = image(rbuild, tmp_path / "base", "example.org/base:1", "FROM scratch\nCOPY Dockerfile /\n")
    lines = [
        "FROM replaced",
        "COPY --from=files f /a",
        "COPY --from=library f /b",
        f"ADD --keep-git-dir {web.url}/r.git /c",
    ]
    write_context(context, "\n".join([*lines, ""]))
    contexts = {
        "replaced": "docker-image://example.org/base:1",
        "files": f"{web.url}/files.tar",
        "library": f"{web.url}/r.git#main",
    }
    words = [f"--build-context={name}={value}" for name, value in contexts.items()]
    before = digest(rbuild, *words, context)
    rbuild("lock", *words, context)
    assert (context / "rbuild.lock").read_text().splitlines()[4:] == [
        f"image example.org/base:1 linux/amd64 {base}",
        f"git {web.url}/r.git {commit}",
        f"git {web.url}/r.git#main {commit}",
        f"url {web.url}/files.tar sha256:{hashlib.sha256(archive({'f': b'1'})).hexdigest()}",
    ]
    commit_again(web, "r", "2")
    image(rbuild, tmp_path / "base", "example.org/base:1", "FROM scratch\nLABEL new=1\n")
    assert digest(rbuild, *words, "--locked", context) == before
    words[2] = words[2].replace("main", "v1")
    error = message(rbuild, *words, "--locked", context)
    assert f"a source is not in {context}/rbuild.lock\n  --build-context library: git {web.url}/r.git#v1" in error


def test_a_lock_serves_machines_of_several_kinds(rbuild: Rbuild, context: Path, tmp_path: Path) -> None:
    """What a colleague's machine builds on stays in the lock, is updated with the rest, and goes with its image."""
    both = ("--platform", "linux/amd64,linux/arm64")
    image(rbuild, tmp_path / "base", "base", "FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\n", *both)
    write_context(context, "FROM --platform=$BUILDPLATFORM base AS one\nFROM scratch\nCOPY --from=one / /\n")
    rbuild("lock", context)
    lock = context / "rbuild.lock"
    colleague = f"image docker.io/library/base:latest linux/arm64 {'sha256:' + 'a' * 64} # theirs"
    lock.write_text(f"{lock.read_text()}{colleague}\n")
    assert "up to date (2 sources)" in rbuild("lock", context).stdout
    assert (
        "updated  image docker.io/library/base:latest linux/arm64"
        in rbuild("lock", "--update", "--pull=missing", context).stdout
    )
    assert lock.read_text().endswith(" # theirs\n")
    write_context(context, "FROM scratch\n")
    assert "removed  image docker.io/library/base:latest linux/arm64" in rbuild("lock", context).stdout


def test_images_of_a_registry(rbuild: Rbuild, plain_registry: Registry, context: Path, tmp_path: Path) -> None:
    """Two platforms of one tag that moves: the locked manifests are pulled by digest, on a machine that has nothing."""
    both = "--platform=linux/amd64,linux/arm64"

    def push(word: str) -> Pushed:
        images = {
            platform: plain_registry.push("lock/base", word, {"f": word.encode()}, platform=platform)
            for platform in ("linux/amd64", "linux/arm64")
        }
        return plain_registry.push_index("lock/base", "1", images)

    name = f"{plain_registry.host}/lock/base:1"
    write_context(context, f"FROM {name}\nCOPY Dockerfile /d\n")
    push("old")
    before = digest(rbuild, both, context)
    told = rbuild("lock", both, context).stdout
    assert "2 added (2 sources)" in told
    lock = (context / "rbuild.lock").read_text()
    asked = len(plain_registry.requests())
    assert digest(rbuild, both, "--locked", context) == before
    assert len(plain_registry.requests()) == asked

    push("new")
    rbuild.renew(tmp_path / "empty-store")
    assert digest(rbuild, both, "--locked", context) == before
    assert not {"GET /v2/lock/base/manifests/1", "HEAD /v2/lock/base/manifests/1"} & {
        *plain_registry.requests()[asked:]
    }
    assert digest(rbuild, both, "--no-lock", context) != before
    assert "up to date" in rbuild("lock", "--check", context).stdout
    assert "2 updated" in rbuild("lock", "--check", "--update", str(context), status=1).stdout
    rbuild("lock", "--update", f"{plain_registry.host}/lock/base", context)
    assert (context / "rbuild.lock").read_text() != lock
    assert digest(rbuild, both, "--locked", context) != before


def test_a_bundle_holds_what_is_locked(
    rbuild: Rbuild, web: Web, plain_registry: Registry, context: Path, tmp_path: Path
) -> None:
    """Made after everything has moved on, it still brings the locked build to a host without a network."""
    name = plain_registry.push("lock/bundled", "1", {"f": b"1"}).reference
    (web.root / "a").write_text("1")
    web.repository("r", "echo 1 >f")
    lines = (
        f"FROM {name}",
        f"ADD {web.url}/a /",
        f"ADD {web.url}/r.git#main /r/",
        f"ADD --keep-git-dir {web.url}/r.git /k/",
    )
    before = digest(rbuild, write_context(context, "\n".join([*lines, ""])))
    rbuild("lock", context)
    plain_registry.push("lock/bundled", "1", {"f": b"2"})
    commit_again(web, "r", "2")
    rbuild.renew(tmp_path / "making")
    rbuild("bundle", "-o", tmp_path / "x.tar", context)
    rbuild.renew(tmp_path / "island")
    assert digest(rbuild, "--bundle", tmp_path / "x.tar", "--offline", "--locked", context) == before


def test_a_locked_image_that_is_gone(rbuild: Rbuild, plain_registry: Registry, context: Path) -> None:
    plain_registry.push("lock/gone", "1")
    name = f"{plain_registry.host}/lock/gone:1"
    write_context(context, f"FROM {name}\n", {"rbuild.lock": f"rbuild-lock 1\nimage {name} linux/amd64 {sha256('')}\n"})
    error = message(rbuild, context, status=5)
    assert f"Dockerfile:1: image {name} for linux/amd64 is locked to {sha256('')} by {context}/rbuild.lock:2" in error
    assert f"rbuild lock --update {name}" in error


def test_a_locked_commit_that_is_gone(rbuild: Rbuild, web: Web, context: Path) -> None:
    web.repository("r", "echo 1 >f")
    lock = f"rbuild-lock 1\ngit {web.url}/r.git#main {'d' * 40}\n"
    write_context(context, f"FROM scratch\nADD {web.url}/r.git#main /\n", {"rbuild.lock": lock})
    error = message(rbuild, context)
    assert f"{web.url}/r.git does not have the commit {'d' * 40}, which {context}/rbuild.lock:2 locks" in error
    assert f"rbuild lock --update {web.url}/r.git#main" in error


def test_what_a_build_would_run_or_date_itself_by_is_locked_too(
    rbuild: Rbuild, web: Web, context: Path, tmp_path: Path
) -> None:
    """Nothing is run for a lock. What only a build argument names is there when it is given."""
    (web.root / "a").write_text("1")
    for name in ("shell", "tools", "seed"):
        image(rbuild, tmp_path / "image", name, f"FROM scratch\nLABEL a={name}\n")
    lines = (
        "ARG SHELL",
        "ARG SOURCE_DATE_EPOCH=dated",
        "FROM scratch AS dated",
        f"ADD {web.url}/a /",
        "FROM $SHELL AS final",
        "RUN --mount=type=bind,from=tools,target=/t --mount=type=cache,from=seed,target=/c exit 1",
    )
    write_context(context, "\n".join([*lines, ""]))
    assert "should not be blank" in rbuild("lock", context, status=1).stderr
    assert not (context / "rbuild.lock").exists()
    rbuild("lock", "--target=final", "--build-arg=SHELL=shell", context)
    locked = [line.split()[:2] for line in (context / "rbuild.lock").read_text().splitlines()[4:]]
    images = [["image", f"docker.io/library/{name}:latest"] for name in ("seed", "shell", "tools")]
    assert locked == [*images, ["url", f"{web.url}/a"]]


def test_a_lock_that_cannot_be_written(rbuild: Rbuild, context: Path, tmp_path: Path) -> None:
    write_context(context, "FROM scratch\n")
    error = rbuild("lock", "--lock", tmp_path / "no" / "x.lock", context, status=1).stderr
    assert f"{tmp_path}/no/x.lock" in error
    assert "No such file or directory" in error
    assert sorted(os.listdir(tmp_path)) == ["context", "store"]
