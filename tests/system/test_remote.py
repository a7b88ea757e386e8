"""What a build fetches: files and repositories from a real server, contexts from everywhere."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.builds import build, write_context
from tests.support.command import Rbuild
from tests.support.web import Web


def members(rbuild: Rbuild, *words: str | Path, cwd: Path | None = None) -> dict[str, tarfile.TarInfo]:
    out = rbuild.store.parent / "out.tar"
    build(rbuild, "--isolation=none", "-o", f"type=tar,dest={out}", *words, cwd=cwd)
    with tarfile.open(out) as archive:
        return {member.name: member for member in archive}


def fails(rbuild: Rbuild, *words: str | Path, status: int = 1) -> str:
    return str(build(rbuild, "--isolation=none", *words, status=status).error["message"])


def piped(rbuild: Rbuild, words: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [rbuild.command, "--isolation=none", *words]
    return subprocess.run(command, input=stdin, env=rbuild.environment, capture_output=True, check=False)


def archive(compression: str, files: dict[str, bytes], mode: int = 0o644) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{compression}") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), mode, 1_000_000
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def test_a_download_is_private_to_root_and_dated_by_the_server(rbuild: Rbuild, web: Web, context: Path) -> None:
    (web.root / "a b*").write_text("hello")
    write_context(context, f"FROM scratch\nADD {web.url}/a%20b* /d/\nADD {web.url}/a%20b* /e\n")
    found = members(rbuild, "--build-arg", "SOURCE_DATE_EPOCH=2000000000", context)
    assert (found["d/a b*"].mode, found["d/a b*"].uid, found["d/a b*"].mtime) == (0o600, 0, 784111777)
    assert found["e"].size == 5


def test_an_unchanged_download_is_asked_for_and_not_sent(rbuild: Rbuild, web: Web, context: Path) -> None:
    (web.root / "a").write_text("1")
    write_context(context, f"FROM scratch\nADD {web.url}/a /\n")
    first = build(rbuild, "--isolation=none", context)
    again = build(rbuild, "--isolation=none", context)
    (web.root / "a").write_text("2")
    changed = build(rbuild, "--isolation=none", context)
    assert web.statuses("/a") == [200, 304, 200]
    assert again.digest == first.digest != changed.digest
    assert not again.steps("StepStarted")


def test_a_checksum_is_verified_and_then_needs_no_network(rbuild: Rbuild, web: Web, context: Path) -> None:
    (web.root / "a").write_text("1")
    right = hashlib.sha256(b"1").hexdigest()
    write_context(context, f"FROM scratch\nADD --checksum=sha256:{'0' * 64} {web.url}/a /\n")
    assert right in fails(rbuild, context)
    write_context(context, f"FROM scratch\nADD --checksum=sha256:{right} {web.url}/a /\n")
    build(rbuild, "--isolation=none", context)
    web.asked.clear()
    build(rbuild, "--isolation=none", context)
    assert not web.asked


def test_offline_opens_no_connection(rbuild: Rbuild, web: Web, context: Path) -> None:
    (web.root / "a").write_text("1")
    write_context(context, f"FROM scratch\nADD {web.url}/a /\n")
    assert "--offline forbids" in fails(rbuild, "--offline", context, status=4)
    online = build(rbuild, "--isolation=none", context).digest
    web.asked.clear()
    assert build(rbuild, "--isolation=none", "--offline", context).digest == online
    assert not web.asked


def test_passing_faults_of_a_server_are_lived_through(rbuild: Rbuild, web: Web, context: Path) -> None:
    (web.root / "a").write_text("1")
    web.faults["/a"] = [(503, {}), (429, {"Retry-After": "1"}), (200, {"Content-Length": "10"})]
    write_context(context, f"FROM scratch\nADD {web.url}/a /\n")
    assert members(rbuild, context)["a"].size == 1
    assert web.statuses("/a") == [503, 429, 200, 200]


@pytest.mark.parametrize(("code", "status"), [(404, 4), (500, 4), (401, 3)])
def test_errors_name_the_server_and_the_answer(rbuild: Rbuild, web: Web, context: Path, code: int, status: int) -> None:
    web.faults["/a"] = [(code, {})] * 9
    write_context(context, f"FROM scratch\nADD {web.url.replace('://', '://u:hush@')}/a /\n")
    run = rbuild("--isolation=none", context, status=status)
    assert f"{web.url}/a: the server answers {code}" in run.stderr
    assert "Dockerfile:2" in run.stderr
    assert web.statuses("/a") == [code] * (4 if code == 500 else 1)


def test_credentials_go_to_their_server_alone(rbuild: Rbuild, web: Web, context: Path, tmp_path: Path) -> None:
    (web.root / "b").write_text("1")
    (tmp_path / "token").write_text("hush\n")
    web.faults["/a"] = [(302, {"Location": f"{web.other_name}/b"})]
    write_context(context, f"FROM scratch\nADD {web.url}/a /\n")
    build(rbuild, "--isolation=none", "--secret", f"id=HTTP_AUTH_TOKEN_127.0.0.1,src={tmp_path / 'token'}", context)
    assert web.asked == [("/a", 302, "Bearer hush"), ("/b", 200, None)]
    stored = subprocess.run(["grep", "-rl", "hush", rbuild.store], capture_output=True, text=True, check=False)
    assert stored.stdout == ""


def test_endless_redirects_end(rbuild: Rbuild, web: Web, context: Path) -> None:
    web.faults["/a"] = [(302, {"Location": "/a"})] * 50
    write_context(context, f"FROM scratch\nADD {web.url}/a /\n")
    assert "more than 10 redirects" in fails(rbuild, context, status=4)


def test_an_archive_is_unpacked_only_on_request(rbuild: Rbuild, web: Web, context: Path) -> None:
    (web.root / "a.tgz").write_bytes(archive("gz", {"in": b"1"}))
    write_context(context, f"FROM scratch\nADD {web.url}/a.tgz /p/\nADD --unpack=true {web.url}/a.tgz /u/\n")
    found = members(rbuild, context)
    assert {"p/a.tgz", "u/in"} <= set(found)
    assert "u/a.tgz" not in found


def test_a_repository(rbuild: Rbuild, web: Web, context: Path) -> None:
    """Branch, annotated tag, commit, first digits and directory; modes do not follow the umask."""
    commit = web.repository("r", "mkdir d; echo 1 >d/f; echo 2 >top; chmod +x top")
    url = f"{web.url}/r.git"
    lines = [f"ADD {url}#{ref} /{number}/" for number, ref in enumerate(("main", "v1", commit, commit[:9], "v1:d"))]
    write_context(context, "\n".join(["FROM scratch", f"ADD --checksum={commit[:8]} {url} /head/", *lines, ""]))
    found = members(rbuild, context)
    assert {f"{number}/top" for number in range(4)} | {"head/top", "head/d/f", "4/f"} <= set(found)
    assert (found["head/top"].mode, found["head/d/f"].mode, found["head/d"].mode) == (0o755, 0o644, 0o755)
    assert not [name for name in found if ".git" in name]


def test_a_known_commit_needs_no_network(rbuild: Rbuild, web: Web, context: Path) -> None:
    commit = web.repository("r", "echo 1 >a")
    write_context(context, f"FROM scratch\nADD {web.url}/r.git#{commit} /\n")
    build(rbuild, "--isolation=none", context)
    web.asked.clear()
    build(rbuild, "--isolation=none", context)
    assert not web.asked


def test_the_git_directory_is_kept_and_reproducible(rbuild: Rbuild, web: Web, context: Path, tmp_path: Path) -> None:
    web.repository("r", "echo 1 >a")
    write_context(context, f"FROM scratch\nADD --keep-git-dir {web.url}/r.git#v1 /r/\n")
    first = build(rbuild, "--isolation=none", "-o", f"type=local,dest={tmp_path / 'out'}", context).digest
    status = ["git", "-c", "safe.directory=*", "-C", tmp_path / "out/r", "status", "--porcelain"]
    assert subprocess.run(status, capture_output=True, text=True, check=True).stdout == ""
    other = Rbuild(tmp_path / "other-store")
    assert build(other, "--isolation=none", context).digest == first


def test_submodules_come_along(rbuild: Rbuild, web: Web, context: Path) -> None:
    web.repository("s", "echo 1 >inner")
    add = f"$G submodule --quiet add {web.root}/s.git sub; $G config -f .gitmodules submodule.sub.url ../s.git"
    web.repository("r", add)
    url = f"{web.url}/r.git"
    write_context(context, f"FROM scratch\nADD {url} /with/\nADD {url}?submodules=0 /without/\n")
    found = members(rbuild, context)
    assert "with/sub/inner" in found
    assert "without/sub" in found
    assert "without/sub/inner" not in found


@pytest.mark.parametrize("url", ["ext::sh -c touch% {canary}", "file:///etc", "/etc", "-u{canary}", "--upload-pack=x"])
def test_hostile_submodules_are_refused(rbuild: Rbuild, web: Web, context: Path, url: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    shown = url.replace("{canary}", str(canary))
    web.repository("s", "echo 1 >inner")
    add = f"$G submodule --quiet add {web.root}/s.git sub; $G config -f .gitmodules submodule.sub.url '{shown}'"
    web.repository("r", add)
    write_context(context, f"FROM scratch\nADD {web.url}/r.git /\n")
    assert "is not allowed" in fails(rbuild, context)
    assert not canary.exists()


@pytest.mark.parametrize(
    "part", ["#v1:../..", "#v1:link", "#v1:top", "#v1:.git", "#--upload-pack=x", "#-x", "#a..b", "?ref=%0a", "#v1:no"]
)
def test_nothing_leaves_the_repository(rbuild: Rbuild, web: Web, context: Path, part: str) -> None:
    web.repository("r", "ln -s / link; echo 1 >top")
    write_context(context, f"FROM scratch\nADD {web.url}/r.git{part} /\n")
    assert fails(rbuild, context)


def test_a_private_repository(rbuild: Rbuild, web: Web, context: Path, tmp_path: Path) -> None:
    web.repository("r", "echo 1 >a")
    web.token = "Basic eC1hY2Nlc3MtdG9rZW46aHVzaA=="
    (tmp_path / "token").write_text("hush\n")
    write_context(context, f"FROM scratch\nADD {web.url}/r.git /\n")
    assert "cannot read" in fails(rbuild, context, status=3)
    build(rbuild, "--isolation=none", "--secret", f"id=GIT_AUTH_TOKEN,src={tmp_path / 'token'}", context)


def test_git_trusts_the_authorities_that_downloads_trust(
    rbuild: Rbuild, context: Path, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SSL_CERT_FILE, and nobody else's."""
    (tmp_path / "www").mkdir()
    web = Web(tmp_path / "www", authority.issue("a server of git"))
    web.repository("r", "echo x >file")
    write_context(context, f"FROM scratch\nADD {web.url}/r.git /\n")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"):
        monkeypatch.delenv(name, raising=False)
    assert "certificate" in rbuild("build", context, status=4).stderr
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    assert list(members(rbuild, context)) == ["file"]
    web.close()


def test_a_git_context(rbuild: Rbuild, web: Web) -> None:
    web.repository("r", "mkdir d; printf 'FROM scratch\\nCOPY . /\\n' >d/Dockerfile; echo x >d/.dockerignore")
    found = members(rbuild, f"{web.url}/r.git#v1:d")
    assert set(found) == {"Dockerfile", ".dockerignore"}
    assert found["Dockerfile"].mtime == 1_000_000_000


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_an_archive_is_a_context(rbuild: Rbuild, web: Web, compression: str) -> None:
    content = archive(compression, {"Dockerfile": b"FROM scratch\nCOPY a /\n", "a": b"1"}, mode=0o440)
    (web.root / "c").write_bytes(content)
    assert members(rbuild, f"{web.url}/c")["a"].mode == 0o440
    assert members(rbuild, web.root / "c")["a"].mode == 0o440
    done = piped(rbuild, ["-"], content)
    assert done.returncode == 0, done.stderr
    assert not list((rbuild.store / "tmp").iterdir())


def test_a_hostile_archive_stays_in_its_place(rbuild: Rbuild, tmp_path: Path) -> None:
    (tmp_path / "c.tar").write_bytes(archive("", {"../../escaped": b"1", "Dockerfile": b"FROM scratch\nCOPY . /\n"}))
    rbuild("--isolation=none", tmp_path / "c.tar", status=1)
    assert not list(tmp_path.rglob("escaped"))


def test_a_dockerfile_on_standard_input(rbuild: Rbuild, context: Path) -> None:
    assert piped(rbuild, ["-"], b"FROM scratch\nLABEL a=1\n").returncode == 0
    (context / "a").write_text("1")
    done = piped(rbuild, ["-f", "-", str(context)], b"FROM scratch\nCOPY a /\n")
    assert done.returncode == 0, done.stderr
    assert piped(rbuild, ["-"], b"FROM scratch\nCOPY a /\n").returncode == 1


def test_a_dockerfile_at_an_address(rbuild: Rbuild, web: Web, context: Path) -> None:
    (web.root / "D").write_text("FROM scratch\nCOPY a /\n")
    (context / "a").write_text("1")
    assert "a" in members(rbuild, "-f", f"{web.url}/D", context)
    (web.root / "D").write_text("FROM scratch\nLABEL a=1\n")
    build(rbuild, "--isolation=none", f"{web.url}/D")


def test_named_contexts_from_elsewhere(rbuild: Rbuild, web: Web, context: Path) -> None:
    web.repository("r", "echo 1 >g")
    (web.root / "c.tar").write_bytes(archive("", {"t": b"1"}))
    write_context(context, "FROM scratch\nCOPY --from=one g /\nCOPY --from=two t /\n")
    words = ["--build-context", f"one={web.url}/r.git", "--build-context", f"two={web.root / 'c.tar'}"]
    assert set(members(rbuild, *words, context)) == {"g", "t"}


def test_the_time_of_a_context(rbuild: Rbuild, web: Web) -> None:
    content = archive("gz", {"Dockerfile": b"FROM scratch\nCOPY Dockerfile /\n"})
    (web.root / "c.tgz").write_bytes(content)
    words = ["--build-arg", "SOURCE_DATE_EPOCH=context", f"{web.url}/c.tgz"]
    assert members(rbuild, *words)["Dockerfile"].mtime == 1_000_000


@pytest.mark.parametrize(("path", "when"), [("/a", 784111777), ("/r.git", 1_000_000_000), ("/r.git#v1", 1_000_000_000)])
def test_a_stage_says_the_time(rbuild: Rbuild, web: Web, context: Path, path: str, when: int) -> None:
    """The stage is in no image: only its time is."""
    web.repository("r", "echo 1 >a")
    (web.root / "a").write_text("1")
    stage = f"FROM scratch AS Dated\nARG URL\nADD ${{URL:-{web.url}{path}}} /\n"
    write_context(context, f"ARG SOURCE_DATE_EPOCH=dated\n{stage}FROM scratch\nCOPY a /\n", {"a": "1"})
    assert members(rbuild, context)["a"].mtime == when
    words = ["--build-arg", "SOURCE_DATE_EPOCH=12", context]
    assert members(rbuild, *words)["a"].mtime == 12


@pytest.mark.parametrize(
    "stage",
    [
        "FROM scratch AS dated\nADD a /\n",
        "FROM scratch AS dated\n",
        "FROM scratch AS dated\nADD {url}/a {url}/b /\n",
        "FROM scratch AS dated\nADD {url}/a a /\n",
        "FROM scratch AS dated\nADD {url}/a /\nENV a=1\n",
        "FROM scratch AS base\nFROM base AS dated\nADD {url}/a /\n",
    ],
)
def test_other_stages_say_no_time(rbuild: Rbuild, web: Web, context: Path, stage: str) -> None:
    (web.root / "a").write_text("1")
    write_context(context, f"{stage.format(url=web.url)}FROM scratch\nCOPY a /\n", {"a": "1"})
    run = rbuild("--isolation=none", "--build-arg", "SOURCE_DATE_EPOCH=dated", context, status=1)
    assert "the stage 'dated' does not say a time" in run.stderr


def test_the_time_by_a_global_arg(rbuild: Rbuild, context: Path) -> None:
    def dated(value: str, *words: str) -> int:
        text = f"ARG SOURCE_DATE_EPOCH={value}\nFROM scratch\nCOPY a /\n"
        write_context(context, text, {"a": "1"})
        return int(members(rbuild, *words, context)["a"].mtime)

    assert dated("77") == 77
    assert dated("77", "--build-arg", "SOURCE_DATE_EPOCH=") == 0
    assert dated("${UNKNOWN}") == 0
    assert dated("context") == 0
    assert dated("here", "--build-context", f"here={context}") == 0


@pytest.mark.parametrize("value", ["nowhere", "-1", "1.5", "\u0661", "9" * 5000, "253402300800"])
def test_what_is_no_time_is_refused(rbuild: Rbuild, context: Path, value: str) -> None:
    write_context(context, f"ARG SOURCE_DATE_EPOCH={value}\nFROM scratch\nLABEL a=1\n")
    run = rbuild("--isolation=none", context, status=1)
    assert "is not a time" in run.stderr
    assert "Dockerfile:1" in run.stderr
    run = rbuild("--isolation=none", "--build-arg", f"SOURCE_DATE_EPOCH={value}", context, status=2)
    assert "is not a time" in run.stderr


def test_fetch_by_commit(rbuild: Rbuild, web: Web, context: Path) -> None:
    """The branch that is named need not be there; the commit is."""
    commit = web.repository("r", "echo 1 >a")
    query = f"ref=gone&fetch-by-commit&checksum={commit}"
    write_context(context, f"FROM scratch\nADD {web.url}/r.git?{query} /\n")
    assert "a" in members(rbuild, context)
    write_context(context, f"FROM scratch\nADD {web.url}/r.git?fetch-by-commit&checksum={commit[:9]} /\n")
    run = rbuild("--isolation=none", context, status=1)
    assert "Dockerfile:2" in run.stderr
    assert "fetch-by-commit of a git reference needs the whole commit" in run.stderr
    assert "needs the whole commit" in fails(rbuild, f"{web.url}/r.git?fetch-by-commit")
