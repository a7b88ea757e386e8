"""B-T6, D-T4: what compresses layers picks its instructions by the processor; its bytes are the same on all."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import sysconfig

import pytest

from tests.support.tools import need_tool

# Data of three kinds at every level that anybody might choose; what is printed is a digest each.
PROGRAM = """
import hashlib, sys
sys.path[:0] = sys.argv[1:]
import deflate, zstandard
noise = b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(1024))
text = b"".join(b"%d lines of %x, of which %s\\n" % (i, i * i, noise[i : i + i % 9]) for i in range(1200))
for plain in (noise, text, (noise[:5000] + text[:30000] + bytes(40000)) * 2):
    for level in (1, 2, 4, 9, 12):
        print("gzip", level, hashlib.sha256(deflate.gzip_compress(plain, level)).hexdigest())
    for level in (1, 3, 9):
        print("zstd", level, hashlib.sha256(zstandard.ZstdCompressor(level=level).compress(plain)).hexdigest())
"""


def run(*before: str) -> str:
    paths = [sysconfig.get_path("platlib"), sysconfig.get_path("purelib")]
    command = [*before, os.path.realpath(sys.executable), "-c", PROGRAM, *paths]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates x86-64 processors on one")
@pytest.mark.parametrize(
    "cpu",
    [
        "qemu64",  # SSE2 and nothing later
        *(pytest.param(cpu, marks=pytest.mark.torture) for cpu in ("Nehalem", "Haswell", "EPYC", "max")),
    ],
)
def test_layers_are_the_same_on_any_processor(cpu: str) -> None:
    """libdeflate and libzstd choose code at run time; this is every choice that QEMU can make them take."""
    emulator = need_tool("qemu-x86_64-static")
    here = run()

    assert len(set(here.splitlines())) == 24
    assert run(emulator, "-cpu", cpu) == here
    assert hashlib.sha256(here.encode()).hexdigest()[:16] == "8601fbc0d4242671"
