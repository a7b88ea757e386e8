"""rbuild pull: what it prints, and what it refuses before it asks anybody."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from builder.cli.console import Console
from builder.cli.main import main
from tests.support.registries import Registry


def pull(home: Path, *words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    environ = {"HOME": str(home)}
    status = main(["pull", f"--store={home}/store", *words], Console(out, err, environ))
    return status, out.getvalue(), err.getvalue()


def test_a_line_for_each_image(plain_registry: Registry, tmp_path: Path) -> None:
    one, two = plain_registry.push("cli/one", "1"), plain_registry.push("cli/two")
    status, out, err = pull(tmp_path, one.reference, two.reference.removesuffix(":latest"))
    assert (status, out) == (0, f"{one.reference}@{one.digest}\n{two.reference}@{two.digest}\n")
    assert err.startswith(f"[pull] {one.reference}\n")

    assert pull(tmp_path, "-q", one.reference) == (0, f"{one.digest}\n", "")


def test_platforms(plain_registry: Registry, tmp_path: Path) -> None:
    images = {
        f"linux/{name}": plain_registry.push("cli/p", name, platform=f"linux/{name}") for name in ("amd64", "s390x")
    }
    index = plain_registry.push_index("cli/p", "i", images)
    blobs = tmp_path / "store/blobs/sha256"

    assert pull(tmp_path, "--platform=s390x", "-q", index.reference)[0] == 0
    assert len(list(blobs.iterdir())) == 4
    assert pull(tmp_path, "--all-platforms", "-q", index.reference)[0] == 0
    assert len(list(blobs.iterdir())) == 6
    status, _, err = pull(tmp_path, "--platform=arm64", index.reference)
    assert status == 1
    assert f"error: {index.reference}: the image is not there for linux/arm64\n" in err
    assert "hint: it is there for linux/amd64, linux/s390x" in err


def test_what_is_missing_is_told_in_the_form_of_the_progress(plain_registry: Registry, tmp_path: Path) -> None:
    status, out, err = pull(tmp_path, "--progress=json", f"{plain_registry.host}/cli/none:1")
    assert (status, out) == (5, "")
    last = json.loads(err.splitlines()[-1])
    assert last["event"] == "Error"
    assert last["message"].startswith(f"{plain_registry.host}: GET manifest cli/none:1: 404 Not Found")


@pytest.mark.parametrize("command", [["pull"], ["inspect", "--remote"]])
def test_one_password_is_not_shown_to_two_registries(
    plain_registry: Registry, tmp_path: Path, command: list[str]
) -> None:
    err = io.StringIO()
    before = len(plain_registry.requests())
    names = [f"{plain_registry.host}/a", "other.invalid/b"]
    status = main([*command, "--creds=ann:secret", *names], Console(io.StringIO(), err, {"HOME": str(tmp_path)}))
    assert status == 2
    assert "which of" in err.getvalue() and "secret" not in err.getvalue()
    assert len(plain_registry.requests()) == before


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["UPPER"], "lower case"),
        (["a:b:c"], "not an image reference"),
        (["--platform=linux", "--all-platforms", "a"], "exclude one another"),
        (["--platform=a/b/c/d", "a"], "not a platform"),
        ([], "needs REF"),
        (["--creds=ann:secret", "a.corp/a", "b.corp/b"], "which of a.corp, b.corp is to get this password"),
        (["--progress=tty", "a"], "not a terminal"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, words: list[str], why: str) -> None:
    status, _, err = pull(tmp_path, *words)
    assert status == 2
    assert why in err
