"""Which files of registries.conf count, and in what order."""

from __future__ import annotations

import os

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from builder.errors import UsageError
from builder.registry.conf_files import load_conf

HOME = {"HOME": "/home/ann"}
OWN = "/home/ann/.config/containers"


def blocking(*names: str) -> str:
    return "".join(f"[[registry]]\nprefix = '{name}'\nblocked = true\n" for name in names)


def prefixes(named: str = "", environ: dict[str, str] | None = None) -> list[str]:
    return [table.prefix for table in load_conf(named, HOME if environ is None else environ).tables]


def test_without_files_nothing_is_said(fs: FakeFilesystem) -> None:
    assert prefixes() == []
    assert prefixes(environ={}) == []


def test_the_system_s_file_is_followed_by_drop_ins_of_the_system_and_of_the_user(fs: FakeFilesystem) -> None:
    for name in ("b", "a"):
        fs.create_file(f"/etc/containers/registries.conf.d/{name}.conf", contents=blocking(f"{name}.x"))
        fs.create_file(f"{OWN}/registries.conf.d/{name}.conf", contents=blocking(f"own.{name}.x"))
    fs.create_file("/etc/containers/registries.conf", contents=blocking("main.x"))
    fs.create_file("/etc/containers/registries.conf.d/readme.txt", contents="not TOML")
    fs.create_dir("/etc/containers/registries.conf.d/directory.conf")

    assert prefixes() == ["main.x", "a.x", "b.x", "own.a.x", "own.b.x"]


def test_the_user_s_file_replaces_the_system_s_and_its_drop_ins(fs: FakeFilesystem) -> None:
    fs.create_file("/etc/containers/registries.conf", contents=blocking("main.x"))
    fs.create_file("/etc/containers/registries.conf.d/a.conf", contents=blocking("a.x"))
    fs.create_file(f"{OWN}/registries.conf", contents=blocking("own.x"))
    fs.create_file(f"{OWN}/registries.conf.d/a.conf", contents=blocking("own.a.x"))

    assert prefixes() == ["own.x", "own.a.x"]
    assert prefixes(environ={}) == ["main.x", "a.x"]


def test_the_user_s_file_is_where_the_environment_says(fs: FakeFilesystem) -> None:
    fs.create_file("/config/containers/registries.conf", contents=blocking("own.x"))

    assert prefixes(environ={**HOME, "XDG_CONFIG_HOME": "/config"}) == ["own.x"]
    assert prefixes(environ={**HOME, "XDG_CONFIG_HOME": "config"}) == []


def test_a_named_file_is_all_there_is(fs: FakeFilesystem) -> None:
    fs.create_file("/etc/containers/registries.conf.d/a.conf", contents=blocking("a.x"))
    fs.create_file("/one", contents=blocking("one.x"))
    fs.create_file("/two", contents=blocking("two.x"))
    environ = {**HOME, "CONTAINERS_REGISTRIES_CONF": "/one"}

    assert prefixes(environ=environ) == ["one.x"]
    assert prefixes("/two", environ) == ["two.x"]


@pytest.mark.parametrize("name", ["shortnames.conf", "000-shortnames.conf"])
def test_the_aliases_that_distributions_ship_do_not_count(fs: FakeFilesystem, name: str) -> None:
    """`FROM centos` would mean one image where podman is installed, and another elsewhere."""
    text = "[aliases]\ncentos = 'quay.io/centos/centos'\n"
    fs.create_file(f"/etc/containers/registries.conf.d/{name}", contents=text + blocking("a.x"))

    assert load_conf("", HOME).aliases == ()
    assert prefixes() == ["a.x"]


def test_aliases_of_the_administrator_and_of_the_user_count(fs: FakeFilesystem) -> None:
    own = "[aliases]\nbase = 'registry.corp/base'\n"
    fs.create_file("/etc/containers/registries.conf.d/corp.conf", contents=own)
    fs.create_file(f"{OWN}/registries.conf.d/shortnames.conf", contents="[aliases]\napp = 'registry.corp/app'\n")

    assert load_conf("", HOME).aliases == (("base", "registry.corp/base"), ("app", "registry.corp/app"))


def test_a_file_that_cannot_be_read_is_an_error_with_its_name(fs: FakeFilesystem) -> None:
    with pytest.raises(UsageError, match=r"^/nowhere: cannot be read: No such file"):
        load_conf("/nowhere", HOME)
    fs.create_dir("/directory")
    with pytest.raises(UsageError, match=r"^/directory: cannot be read"):
        load_conf("/directory", HOME)
    fs.create_file("/latin", contents=b"# caf\xe9")
    with pytest.raises(UsageError, match=r"^/latin: not UTF-8 at byte 5"):
        load_conf("/latin", HOME)
    fs.create_file("/large", contents=b"#" * ((4 << 20) + 1))
    with pytest.raises(UsageError, match=r"^/large: larger than"):
        load_conf("/large", HOME)


def test_no_file_at_all_can_be_named() -> None:
    assert load_conf(os.devnull, HOME).tables == ()
