"""Where credentials are found, and what is written where."""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import AuthError
from builder.registry.auth_file import OURS, AuthFile
from builder.registry.keys import Keychain, Login
from builder.registry.options import RegistryOptions

SECRET = "hunter2:with a colon"
HELPER = r"""#!/bin/sh
# A credential helper with a directory for a memory. `busy` in it makes it slow, `broken` fail, `raw` is what it says.
text=$(cat)
[ "$1" = store ] && { echo store >> "$MEMORY.log"; } || echo "$1 $text" >> "$MEMORY.log"
cd "$MEMORY" || exit
[ -e broken ] && { cat broken >&2; exit 1; }
[ -e raw ] && { cat raw; exit; }
[ -e busy ] && sleep 2
[ "$1" = store ] && server=$(printf %s "$text" | sed 's/.*"ServerURL": "\([^"]*\)".*/\1/') || server=$text
file=$(printf %s "$server" | tr /: __)
case $1 in
store) printf %s "$text" > "$file" ;;
erase) rm -f "$file" ;;
get) cat "$file" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; } ;;
esac
"""
_SPECIAL = ("busy", "broken", "raw")


def auth(user: str = "ann", password: str = SECRET) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


class Home:
    """A home directory with files of credentials in it, and a helper called `test` in PATH."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {
            "HOME": str(directory),
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
            "MEMORY": str(directory / "memory"),
        }
        self.docker = directory / ".docker/config.json"

    def write(self, place: str | Path, document: object) -> Path:
        path = self.directory / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    def helper(self, memory: dict[str, Any]) -> None:
        """What it knows: user and secret by server; see HELPER for other names."""
        self.write("bin/docker-credential-test", HELPER).chmod(0o755)
        (self.directory / "memory").mkdir()
        for name, value in memory.items():
            if name in _SPECIAL:
                self.write(f"memory/{name}", value)
            else:
                kept = {"ServerURL": name, "Username": value[0], "Secret": value[1]}
                self.write("memory/" + name.replace("/", "_").replace(":", "_"), kept)

    def asked(self) -> list[str]:
        return (self.directory / "memory.log").read_text().splitlines()

    def memory(self) -> dict[str, Any]:
        kept = [json.loads(path.read_text()) for path in (self.directory / "memory").iterdir()]
        return {each["ServerURL"]: [each["Username"], each["Secret"]] for each in kept}

    def keys(self, **options: Any) -> Keychain:
        return Keychain(RegistryOptions(**options), self.environ)

    def find(self, name: str, **options: Any) -> tuple[str, str] | None:
        host, _, repository = name.partition("/")
        login = self.keys(**options).find(host, repository)
        return (login.username, login.password) if login else None


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_nobody_is_known_where_there_is_no_file(home: Home) -> None:
    assert home.find("quay.io/a") is None
    assert Keychain(RegistryOptions(), {}).find("docker.io", "library/a") is None


@pytest.mark.parametrize(
    "key",
    ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io", "https://index.docker.io/v2/",
     "index.docker.io/v1/", "http://docker.io"],
)  # fmt: skip
@pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_every_spelling_of_docker_hub_is_one(home: Home, key: str, host: str) -> None:
    home.write(home.docker, {"auths": {key: {"auth": auth()}}})
    assert home.find(f"{host}/library/golang") == ("ann", SECRET)


@pytest.mark.parametrize(
    ("name", "user"),
    [
        ("quay.io/team/app", "app"),
        ("quay.io/team/app/sub", "app"),
        ("quay.io/team/apple", "team"),
        ("quay.io/team", "team"),
        ("quay.io/other", "host"),
        ("QUAY.io/other", "host"),
        ("quay.io", "host"),
        ("quay.io:443/team/app", None),
        ("evil-quay.io/team", None),
        ("quay.io.evil.example/team", None),
        ("localhost:5000/x", "port"),
        ("localhost/x", None),
        ("localhost:50001/x", None),
        ("[::1]:5000/x", "six"),
        ("gitlab.example/group/app", "address"),
        ("docker.io/library/golang", "official"),
        ("docker.io/team/golang", None),
    ],
)
def test_the_longest_prefix_counts(home: Home, name: str, user: str | None) -> None:
    """K12: no credentials for a host that is only spelled alike."""
    users = {
        "quay.io": "host",
        "quay.io/team": "team",
        "quay.io/team/app": "app",
        "localhost:5000": "port",
        "[::1]:5000": "six",
        "https://gitlab.example/v2/": "address",
        "docker.io/library": "official",
    }
    home.write(home.docker, {"auths": {key: {"auth": auth(value)} for key, value in users.items()}})
    found = home.find(name)
    assert (found[0] if found else None) == user


def test_the_files_in_their_order(home: Home, tmp_path: Path) -> None:
    """The longer prefix counts more than the earlier file."""

    def entry(user: str, key: str = "quay.io") -> dict[str, Any]:
        return {"auths": {key: {"auth": auth(user)}}}

    home.write(home.docker, entry("docker"))
    assert home.find("quay.io/a") == ("docker", SECRET)
    home.write(".config/containers/auth.json", entry("config"))
    assert home.find("quay.io/a") == ("config", SECRET)
    home.write("run/containers/auth.json", entry("run"))
    assert home.find("quay.io/a") == ("run", SECRET)
    home.environ["DOCKER_CONFIG"] = str(home.write("other/config.json", entry("folder")).parent)
    assert home.find("quay.io/a") == ("folder", SECRET)
    home.environ["REGISTRY_AUTH_FILE"] = str(home.write("variable.json", entry("variable")))
    assert home.find("quay.io/a") == ("variable", SECRET)
    assert home.find("quay.io/a", authfile=str(home.write("given.json", entry("given")))) == ("given", SECRET)

    del home.environ["REGISTRY_AUTH_FILE"], home.environ["DOCKER_CONFIG"]
    home.write(home.docker, entry("longer", "quay.io/a"))
    assert home.find("quay.io/a") == ("longer", SECRET)
    home.environ["XDG_CONFIG_HOME"] = str(tmp_path / "elsewhere")
    home.write("elsewhere/containers/auth.json", entry("elsewhere", "quay.io/a"))
    assert home.find("quay.io/a") == ("elsewhere", SECRET)


def test_a_variable_of_docker_s_comes_before_the_files(home: Home) -> None:
    home.write(home.docker, {"auths": {name: {"auth": auth("file")} for name in ("quay.io", "ghcr.io")}})
    home.environ["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {"quay.io": {"auth": auth("variable")}}})
    assert home.find("quay.io/a") == ("variable", SECRET)
    assert home.find("ghcr.io/a") == ("file", SECRET)
    assert home.find("quay.io/a", authfile=str(home.docker)) == ("file", SECRET)

    home.environ["DOCKER_AUTH_CONFIG"] = f'{{"auths": {SECRET}'
    with pytest.raises(AuthError, match=r"\$DOCKER_AUTH_CONFIG is not valid JSON") as caught:
        home.find("quay.io/a")
    assert "hunter2" not in str(caught.value)


def test_creds_are_for_registries_and_not_for_mirrors(home: Home) -> None:
    """K12: what is given for the registry that is named does not go to who stands in for it."""
    keys = home.keys(creds=("ann", SECRET))

    assert keys.find("quay.io", "a") == Login("ann", SECRET, where="--creds")
    assert keys.find("mirror.example", "a", mirror=True) is None


def test_creds_of_one_host_are_for_that_alone(home: Home) -> None:
    """K12: a Dockerfile may name any registry."""
    keys = home.keys(creds=("ann", SECRET), creds_host="docker.io")

    assert keys.find("index.docker.io", "a") == Login("ann", SECRET, where="--creds")
    assert keys.find("quay.io", "a") is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"auth": auth()}, Login("ann", SECRET)),
        ({"username": "ann", "password": SECRET}, Login("ann", SECRET)),
        ({"auth": auth("ann", "p\0\0"), "email": "a@b"}, Login("ann", "p")),
        ({"auth": auth("ann", ""), "identitytoken": "id"}, Login("ann", "", "id")),
        ({"identitytoken": "id"}, Login("", "", "id")),
        ({"registrytoken": "reg"}, Login("", "", "", "reg")),
        ({"auth": auth("bärbel", "ß")}, Login("bärbel", "ß")),
        ({}, None),
        (None, None),
        ({"auth": ""}, None),
    ],
)
def test_what_an_entry_says(home: Home, entry: object, expected: Login | None) -> None:
    path = home.write(home.docker, {"auths": {"quay.io": entry}})
    assert home.keys().find("quay.io", "a") == (expected._replace(where=str(path)) if expected else None)


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ("{", "is not valid JSON"),
        ("[]", "is not a JSON object"),
        ('{"auths": {}, "auths": {}}', "given twice"),
        ({"auths": []}, "auths is not an object"),
        ({"credHelpers": "x"}, "credHelpers is not an object"),
        ({"credsStore": 1}, "credsStore is not a string"),
        ({"credHelpers": {"quay.io": []}}, "quay.io is not a string"),
        ({"auths": {"quay.io": SECRET}}, "auths: quay.io is not an object"),
        ({"auths": {"quay.io": {"auth": f"!{SECRET}"}}}, "auth is not the base64 of a text"),
        ({"auths": {"quay.io": {"auth": "//79"}}}, "auth is not the base64 of a text"),
        ({"auths": {"quay.io": {"auth": base64.b64encode(b"hunter2").decode()}}}, "auth holds no USER:PASSWORD"),
        ({"auths": {"quay.io": {"password": [SECRET]}}}, "auths: quay.io: password is not a string"),
        ({"credsStore": "../../bin/evil"}, "is not the name of a credential helper"),
        ({"credsStore": "nowhere"}, "docker-credential-nowhere is not in PATH"),
    ],
)
def test_a_broken_file_is_named_and_not_quoted(home: Home, document: object, fault: str) -> None:
    path = home.write(home.docker, document)
    with pytest.raises(AuthError, match=fault) as caught:
        home.find("quay.io/a")

    assert str(path) in caught.value.message
    assert "hunter2" not in caught.value.message + (caught.value.hint or "")
    assert "aHVudGVy" not in caught.value.message


VALUE = st.sampled_from([None, True, 0, "", "YTpi", "YQ==", "test", "é", [], {}])
ENTRY = VALUE | st.dictionaries(st.sampled_from(OURS), VALUE, max_size=3)
NAMED = VALUE | ENTRY.map(lambda entry: {"quay.io": entry})


@given(st.dictionaries(st.sampled_from(["auths", "credHelpers", "credsStore"]), NAMED, max_size=3))
def test_any_file_gives_a_login_or_an_error_of_ours(document: dict[str, Any]) -> None:
    try:
        file = AuthFile("config.json", document)
        found = file.login("quay.io")
        assert found is None or any(found[:4])
        assert isinstance(file.helper("quay.io"), str)
    except AuthError as error:
        assert error.message.startswith("config.json: ")


def test_a_file_that_is_named_must_be_there(home: Home) -> None:
    with pytest.raises(AuthError, match=r"missing.json: no such file"):
        home.find("quay.io/a", authfile=str(home.directory / "missing.json"))
    with pytest.raises(AuthError, match="Is a directory"):
        home.find("quay.io/a", authfile=str(home.directory))


def test_a_helper_is_asked_once_and_by_docker_s_name_of_the_hub(home: Home) -> None:
    home.helper({"https://index.docker.io/v1/": ["hub", "secret"], "quay.io": ["<token>", "identity"]})
    home.write(home.docker, {"credsStore": "test", "auths": {"ghcr.io": {"auth": auth()}}})
    keys = home.keys()

    for _ in range(3):
        assert keys.find("docker.io", "library/a") == Login("hub", "secret", where="docker-credential-test")
        assert keys.find("quay.io", "a/b") == Login(identity_token="identity", where="docker-credential-test")
        assert keys.find("nowhere.example", "a") is None
        assert keys.find("ghcr.io", "a") == Login("ann", SECRET, where=str(home.docker))
    assert home.asked() == ["get https://index.docker.io/v1/", "get quay.io", "get nowhere.example", "get ghcr.io"]


def test_a_helper_of_one_registry_comes_before_the_common_one(home: Home) -> None:
    home.helper({"quay.io": ["ann", "s"], "quay.io/team": ["bob", "t"]})
    home.write(home.docker, {"credsStore": "not-there", "credHelpers": {"quay.io": "test", "quay.io/team": "test"}})

    assert home.find("quay.io/a") == ("ann", "s")
    assert home.find("quay.io/team/a") == ("bob", "t")


def test_helpers_of_registries_conf(home: Home) -> None:
    """Before, after and in place of the files; they keep whole hosts."""
    home.helper({"quay.io": ["helper", "s"], "only.example": ["helper", "s"]})
    home.write(home.docker, {"auths": {name: {"auth": auth()} for name in ("quay.io", "quay.io/team", "b.example")}})
    conf = home.directory / ".config/containers/registries.conf"

    home.write(conf, 'credential-helpers = ["containers-auth.json", "test"]')
    assert home.find("quay.io/a") == ("ann", SECRET)
    assert home.find("only.example/a") == ("helper", "s")
    home.write(conf, 'credential-helpers = ["test", "containers-auth.json"]')
    assert home.find("quay.io/a") == ("helper", "s")
    assert home.find("quay.io/team/a") == ("ann", SECRET)
    assert home.find("b.example/a") == ("ann", SECRET)
    assert home.find("only.example/a", authfile=str(home.docker)) is None
    home.write(conf, 'credential-helpers = ["test"]')
    assert home.find("b.example/a") is None

    assert home.keys().save("new.example", Login("new", "pw")) == "docker-credential-test"
    assert home.memory()["new.example"] == ["new", "pw"]
    with pytest.raises(AuthError, match="keeps credentials of whole registries alone"):
        home.keys().save("new.example/team", Login("new", "pw"))
    assert home.keys().erase("quay.io") == ("docker-credential-test", str(home.docker))
    assert "quay.io" not in home.memory()


@pytest.mark.parametrize(
    ("memory", "fault"),
    [
        ({"broken": "the keyring is locked"}, r"which .*config.json names, get fails with 1: the keyring is locked"),
        ({"raw": "Secret: hunter2"}, "answers with what is not JSON"),
        ({"raw": '{"Username": "ann", "Secret": {"hunter2": 1}}'}, "answers without Username and Secret"),
    ],
)
def test_a_helper_that_fails_is_named(home: Home, memory: dict[str, Any], fault: str) -> None:
    home.helper(memory)
    home.write(home.docker, {"credsStore": "test"})
    with pytest.raises(AuthError, match=fault) as caught:
        home.find("quay.io/a")
    assert "hunter2" not in str(caught.value)


def test_a_helper_that_hangs_is_not_waited_for(home: Home) -> None:
    """Not for what it has started, either."""
    from builder.registry.credential_helper import Helper

    home.helper({"busy": ""})
    with pytest.raises(AuthError, match=r"gives no answer in 0.2 seconds"):
        Helper("test", "config.json", home.environ, patience=0.2).get("quay.io")


def test_a_helper_in_the_directory_that_is_built_from_is_not_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """K10: a `.` in PATH would let whoever wrote the build context have the credentials."""
    home.helper({"quay.io": ["ann", "s"]})
    home.write(home.docker, {"credsStore": "test"})
    monkeypatch.chdir(home.directory / "bin")
    home.environ["PATH"] = ".::bin:/usr/bin"
    with pytest.raises(AuthError, match="docker-credential-test is not in PATH"):
        home.find("quay.io/a")


def test_a_login_is_kept_for_its_owner_alone_and_the_rest_of_the_file_stays(home: Home) -> None:
    before = {"proxies": {"default": {}}, "auths": {"a.example": {"auth": auth()}, "b.example": {"email": "x"}}}
    home.write(home.docker, before).chmod(0o644)

    assert home.keys().save("b.example", Login("bob", "pw")) == str(home.docker)
    after = json.loads(home.docker.read_text())
    assert after["auths"].pop("b.example") == {"email": "x", "auth": auth("bob", "pw")}
    del before["auths"]["b.example"]  # type: ignore[attr-defined]
    assert after == before
    assert stat.S_IMODE(home.docker.stat().st_mode) == 0o600
    assert os.listdir(home.docker.parent) == ["config.json"]
    assert home.find("b.example/x") == ("bob", "pw")


def test_a_login_replaces_every_spelling(home: Home) -> None:
    home.write(home.docker, {"auths": {"docker.io": {"auth": auth("old")}, "https://index.docker.io/v1/": {}}})
    keys = home.keys()
    assert keys.find("docker.io")
    keys.save("docker.io", Login("new", "pw"))

    assert json.loads(home.docker.read_text())["auths"] == {"https://index.docker.io/v1/": {"auth": auth("new", "pw")}}
    found = keys.find("docker.io", "library/a")
    assert found and found.username == "new"


def test_a_new_login_goes_to_docker_s_file_or_to_where_the_old_one_is(home: Home) -> None:
    assert home.keys().save("quay.io/team", Login("ann", "pw")) == str(home.docker)
    assert stat.S_IMODE(home.docker.parent.stat().st_mode) == 0o700
    podman = home.write("run/containers/auth.json", {"auths": {"ghcr.io": {"auth": auth("old")}}})
    assert home.keys().save("ghcr.io", Login("new", "pw")) == str(podman)
    assert home.find("ghcr.io/a") == ("new", "pw")
    named = home.directory / "new" / "auth.json"
    assert home.keys(authfile=str(named)).save("ghcr.io", Login("third", "pw")) == str(named)
    assert home.find("ghcr.io/a", authfile=str(named)) == ("third", "pw")


def test_a_link_to_the_file_stays_one(home: Home) -> None:
    target = home.write("dotfiles/docker.json", {})
    home.docker.parent.mkdir()
    home.docker.symlink_to(target)
    home.keys().save("quay.io", Login("ann", "pw"))

    assert home.docker.is_symlink()
    assert "quay.io" in json.loads(target.read_text())["auths"]


def test_a_login_goes_to_the_helper_that_the_file_chooses(home: Home) -> None:
    home.helper({})
    home.write(home.docker, {"credsStore": "test", "auths": {"quay.io": {"auth": auth()}}})
    keys = home.keys()

    assert keys.save("quay.io", Login("ann", "pw")) == "docker-credential-test"
    assert keys.save("docker.io", Login(identity_token="id")) == "docker-credential-test"
    assert keys.save("quay.io/team", Login("bob", "pw")) == "docker-credential-test"
    kept = {"quay.io": ["ann", "pw"], "https://index.docker.io/v1/": ["<token>", "id"], "quay.io/team": ["bob", "pw"]}
    assert home.memory() == kept
    assert json.loads(home.docker.read_text())["auths"] == {name: {} for name in kept}
    assert home.find("quay.io/team/a") == ("bob", "pw")
    assert home.find("quay.io/a") == ("ann", "pw")

    assert keys.erase("quay.io") == ("docker-credential-test",)
    assert keys.erase("quay.io") == ()
    assert home.find("quay.io/a") is None
    assert home.find("quay.io/team/a") == ("bob", "pw")


def test_a_helper_that_cannot_keep_it_leaves_no_trace(home: Home) -> None:
    home.helper({"broken": f"cannot keep {SECRET} for you"})
    home.write(home.docker, {"credsStore": "test"})
    with pytest.raises(AuthError, match=r"store fails with 1: cannot keep \*\*\*\* for you"):
        home.keys().save("quay.io", Login("ann", SECRET))
    assert json.loads(home.docker.read_text()) == {"credsStore": "test"}


def test_a_logout_forgets_it_in_every_file(home: Home) -> None:
    podman = home.write("run/containers/auth.json", {"auths": {"quay.io": {"auth": auth()}, "ghcr.io": {}}})
    home.write(home.docker, {"auths": {"https://quay.io/v1/": {"auth": auth()}}})
    keys = home.keys()

    assert keys.prefixes() == ("quay.io", "ghcr.io")
    assert keys.erase("quay.io") == (str(podman), str(home.docker))
    assert keys.prefixes() == ("ghcr.io",)
    assert home.find("quay.io/a") is None


def test_a_place_that_cannot_be_written_is_named(home: Home) -> None:
    home.write(".docker", "a file where the directory should be")
    with pytest.raises(AuthError, match=r"\.docker/config\.json: cannot be written"):
        home.keys().save("quay.io", Login("ann", SECRET))


def test_of_many_logins_at_once_none_is_lost(home: Home) -> None:
    def login(number: int) -> None:
        home.keys().save(f"r{number}.example", Login("ann", str(number)))

    threads = [threading.Thread(target=login, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads(home.docker.read_text())["auths"]) == 12


def test_a_login_shows_no_secret() -> None:
    assert "pw" not in repr(Login("ann", "pw", "pw", "pw", "config.json"))
