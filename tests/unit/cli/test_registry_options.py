"""--creds and the other options of every command that may reach a registry."""

from __future__ import annotations

import io
import sys

import pytest

from builder.cli import argv
from builder.cli.commands import command
from builder.cli.options import Command
from builder.cli.registry_options import options_of_file, registry_options
from builder.errors import UsageError
from builder.registry.options import RegistryOptions


def read(*words: str, name: str = "pull") -> RegistryOptions:
    chosen = command(name)
    assert isinstance(chosen, Command)
    return registry_options(argv.read(chosen, [*words, "operand"]))


@pytest.mark.parametrize(
    ("text", "typed", "expected"),
    [
        ("ann:secret", "", ("", ("ann", "secret"))),
        ("ann", "secret\n", ("", ("ann", "secret"))),
        ("ann:a=b", "", ("", ("ann", "a=b"))),
        ("ann:a:b", "", ("", ("ann", "a:b"))),
        ("ann:", "", ("", ("ann", ""))),
        ("quay.io=ann:secret", "", ("quay.io", ("ann", "secret"))),
        ("Quay.io=ann", "secret", ("quay.io", ("ann", "secret"))),
        ("localhost=ann:s", "", ("localhost", ("ann", "s"))),
        ("[::1]:5000=ann:s", "", ("[::1]:5000", ("ann", "s"))),
        ("cache:5000=ann:s", "", ("cache:5000", ("ann", "s"))),
        ("-", "ann:secret\n", ("", ("ann", "secret"))),
        ("-", "quay.io=ann:secret\r\n", ("quay.io", ("ann", "secret"))),
    ],
)
def test_creds(text: str, typed: str, expected: tuple[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    options = read(f"--creds={text}")

    assert (options.creds_host, options.creds) == expected


@pytest.mark.parametrize(
    ("text", "typed", "message"),
    [
        (":secret", "", "--creds: the user name is missing"),
        ("quay.io=", "", "--creds: the user name is missing"),
        ("ann", "", "--creds: standard input ended before the password"),
        ("-", "ann\n", "--creds -: standard input holds no USER:PASSWORD"),
        ("ann:\udcff", "", "--creds: the user or the password is not UTF-8"),
        ("\udcff", "secret", "--creds: the user or the password is not UTF-8"),
    ],
)
def test_faults_of_creds(text: str, typed: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    with pytest.raises(UsageError) as caught:
        read(f"--creds={text}")

    assert caught.value.message == message


def test_a_build_says_for_which_registry_its_creds_are() -> None:
    """K12: the Dockerfile names the registries, and need not be trusted."""
    build = command("build")
    assert build
    with pytest.raises(UsageError, match="which one is to get this password") as caught:
        options_of_file(argv.read(build, ["--creds=ann:secret", "."]))
    assert "secret" not in caught.value.message
    assert options_of_file(argv.read(build, ["--creds=quay.io=ann:secret", "."])).creds == ("ann", "secret")
