"""What an ELF header says about a program, and the smallest program of each architecture: it ends with 0.

Architectures are Go's names, as platforms have them.
"""

from __future__ import annotations

import struct

from builder.values import NamedTuple


class Machine(NamedTuple):
    """`name` is QEMU's. `code` is exit(0) as machine code."""

    name: str
    bits: int
    order: str  # "<" or ">", as struct has it
    number: int  # e_machine
    code: str


MACHINES = {
    "amd64": Machine("x86_64", 64, "<", 62, "31ffb83c0000000f05"),
    "386": Machine("i386", 32, "<", 3, "31dbb801000000cd80"),
    "arm64": Machine("aarch64", 64, "<", 183, "000080d2a80b80d2010000d4"),
    "arm": Machine("arm", 32, "<", 40, "0000a0e30170a0e3000000ef"),
    "riscv64": Machine("riscv64", 64, "<", 243, "130500009308d00573000000"),
    "ppc64le": Machine("ppc64le", 64, "<", 21, "000060380100003802000044"),
    "ppc64": Machine("ppc64", 64, ">", 21, "386000003800000144000002"),
    "s390x": Machine("s390x", 64, ">", 22, "a72900000a01"),
    "loong64": Machine("loongarch64", 64, "<", 258, "040080030b74810300002b00"),
}

_LOAD_AT = 0x10000
_HEADER = {32: 52, 64: 64}
_PROGRAM_HEADER = {32: 32, 64: 56}


def exit_program(machine: Machine) -> bytes:
    """A static executable that ends with status 0."""
    start = _HEADER[machine.bits] + _PROGRAM_HEADER[machine.bits]
    code = bytes.fromhex(machine.code)
    size = start + len(code)
    return _ident(machine) + _header(machine, _LOAD_AT + start) + _segment(machine, size) + code


def _ident(machine: Machine) -> bytes:
    return b"\x7fELF" + bytes((machine.bits // 32, 1 if machine.order == "<" else 2, 1)) + bytes(9)


def _header(machine: Machine, entry: int) -> bytes:
    word = "I" if machine.bits == 32 else "Q"
    sizes = _HEADER[machine.bits], _PROGRAM_HEADER[machine.bits]
    flags = {"arm": 0x05000000, "ppc64": 2, "ppc64le": 2}.get(machine.name, 0)  # the EABI that each kernel asks for
    return struct.pack(
        f"{machine.order}HHI{word}{word}{word}IHHHHHH",
        *(2, machine.number, 1, entry, sizes[0], 0, flags, *sizes, 1, 0, 0, 0),
    )


def _segment(machine: Machine, size: int) -> bytes:
    loaded, executable = 1, 5
    if machine.bits == 32:
        fields = (loaded, 0, _LOAD_AT, _LOAD_AT, size, size, executable, 0x1000)
        return struct.pack(f"{machine.order}8I", *fields)
    return struct.pack(f"{machine.order}II6Q", loaded, executable, 0, _LOAD_AT, _LOAD_AT, size, size, 0x1000)


def magic(machine: Machine) -> tuple[bytes, bytes]:
    """Magic and mask that binfmt_misc tells its programs by: any ABI, executables and shared objects alike."""
    kind = struct.pack(f"{machine.order}HH", 2, machine.number)
    kind_mask = struct.pack(f"{machine.order}HH", 0xFFFE, 0xFFFF)
    return _ident(machine) + kind, b"\xff" * 7 + bytes(9) + kind_mask


def architecture(header: bytes) -> str | None:
    """Of the first 20 bytes of a program; None when it is no ELF file, "?" for a machine without a name here."""
    if len(header) < 20 or header[:4] != b"\x7fELF":
        return None
    order = ">" if header[5] == 2 else "<"
    (number,) = struct.unpack(f"{order}H", header[18:20])
    for name, machine in MACHINES.items():
        if (machine.number, machine.order, machine.bits) == (number, order, 64 if header[4] == 2 else 32):
            return name
    return "?"


def is_static(content: bytes) -> bool:
    """Whether a program names no dynamic loader (PT_INTERP), by its first bytes."""
    wide, order = content[4] == 2, ">" if content[5] == 2 else "<"
    offset = struct.unpack_from(f"{order}Q" if wide else f"{order}I", content, 32 if wide else 28)[0]
    size, count = struct.unpack_from(f"{order}HH", content, 54 if wide else 42)
    kinds = (struct.unpack_from(f"{order}I", content, offset + index * size)[0] for index in range(count))
    return 3 not in kinds
