"""Programs of another architecture in a step, by QEMU registered in the namespace of the build."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from builder.errors import SandboxError
from builder.sandbox import elf, emulation, userns
from tests.support.forked import forked
from tests.support.rootfs import Result, collect

if TYPE_CHECKING:
    from tests.support.rootfs import Place

FOREIGN = "arm64" if os.uname().machine == "x86_64" else "amd64"
QEMU = f"qemu-{elf.MACHINES[FOREIGN].name}-static"
PLATFORM = f"linux/{FOREIGN}"


def test_a_shell_starts_foreign_programs(place: Place) -> None:
    """Not only the first process: what it starts is emulated too, with nothing of QEMU in the image."""
    if not shutil.which(QEMU):
        pytest.skip(f"{QEMU} is not installed")
    program = place.image / "bin/foreign"
    program.write_bytes(elf.exit_program(elf.MACHINES[FOREIGN]))
    program.chmod(0o755)
    command = place.command("sh", "-c", "/bin/foreign && echo emulated")

    def run() -> Result:
        userns.enter(place.tier)
        emulation.prepare(PLATFORM, str(place.base))
        return collect(place.tier, command)

    assert forked(run) == (0, ["emulated"], [])


def test_without_qemu_the_error_says_what_to_install(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    def prepare() -> str:
        userns.enter(place.tier)
        try:
            return emulation.prepare("linux/riscv64", str(place.base))
        except SandboxError as error:
            return f"{error.message} | {error.hint}"

    told = forked(prepare)
    if told.startswith("by"):
        pytest.skip("this host has a handler of its own")
    assert "linux/riscv64" in told and "qemu-riscv64-static" in told and "apt-get install qemu-user-static" in told
