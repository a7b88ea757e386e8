"""Programs of other platforms: how they are told, and what is written to binfmt_misc."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from builder.errors import SandboxError
from builder.sandbox import elf, emulation
from builder.sandbox.emulation import Handler

if TYPE_CHECKING:
    from pathlib import Path

ENABLED = """enabled
interpreter /usr/bin/qemu-aarch64-static
flags: POF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
"""


@pytest.mark.parametrize("name", elf.MACHINES)
def test_each_machine_is_told_from_all_others(name: str) -> None:
    """Its program has its architecture, and only its own handler takes it."""
    machine = elf.MACHINES[name]
    takers = [
        other
        for other in elf.MACHINES
        if emulation._is_for(Handler("", 0, *elf.magic(elf.MACHINES[other]), "/q"), machine)
    ]

    assert elf.architecture(elf.exit_program(machine)) == name
    assert elf.is_static(elf.exit_program(machine))
    assert takers == [name]


def test_what_is_no_program() -> None:
    assert elf.architecture(b"#!/bin/sh\n" + bytes(20)) is None
    assert elf.architecture(b"\x7fELF") is None


def test_handlers_of_the_host(tmp_path: Path) -> None:
    """Enabled ones that go by magic; others are not for us."""
    (tmp_path / "qemu-aarch64").write_text(ENABLED)
    (tmp_path / "off").write_text(ENABLED.replace("enabled", "disabled"))
    (tmp_path / "by-name").write_text("enabled\ninterpreter /usr/bin/x\nflags: \nextension .x\n")
    (tmp_path / "status").write_text("enabled\n")

    (found,) = emulation.host_handlers(str(tmp_path))

    assert (found.name, found.interpreter) == ("qemu-aarch64", "/usr/bin/qemu-aarch64-static")
    assert emulation._is_for(found, elf.MACHINES["arm64"])
    assert not emulation._is_for(found, elf.MACHINES["riscv64"])


def test_registration_escapes_what_would_end_a_field() -> None:
    handler = Handler("qemu-x", 0, b"\0:\n", b"\xff\0\xff", "/bin/q")

    assert emulation.registration(handler) == rb":qemu-x:M::\x00\x3a\x0a:\xff\x00\xff:/bin/q:POF"


def test_a_dynamic_interpreter_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loader would have to be in the image."""
    program = shutil.which("ls") or "/bin/ls"
    shutil.copy(program, tmp_path / "qemu-riscv64")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(emulation, "host_handlers", lambda: iter(()))

    assert emulation.find_interpreter(elf.MACHINES["riscv64"]) is None
    (tmp_path / "qemu-riscv64").write_bytes(elf.exit_program(elf.MACHINES["amd64"]))
    assert emulation.find_interpreter(elf.MACHINES["riscv64"]) == str(tmp_path / "qemu-riscv64")


def test_a_platform_that_never_runs_here(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="windows/amd64"):
        emulation.prepare("windows/amd64", str(tmp_path))
