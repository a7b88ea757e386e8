"""Runs a command with unshare, mount and clone of namespaces refused, as the default profile of containers does.

Exits with 77 where a filter cannot be set: another architecture than x86-64, or no seccomp.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06  # BPF, <linux/bpf_common.h>
EPERM, ENOSYS, ALLOW = 0x00050001, 0x00050026, 0x7FFF0000
UNSHARE, CLONE, CLONE3, MOUNT = 272, 56, 435, 165  # of x86-64
NAMESPACES = 0x7E020000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2

PROGRAM = (
    (LOAD, 0, 0, 0),
    (EQUAL, 0, 1, UNSHARE),
    (RETURN, 0, 0, EPERM),
    (EQUAL, 0, 1, MOUNT),
    (RETURN, 0, 0, EPERM),
    (EQUAL, 0, 1, CLONE3),
    (RETURN, 0, 0, ENOSYS),
    (EQUAL, 0, 3, CLONE),
    (LOAD, 0, 0, 16),
    (ANY_BIT, 0, 1, NAMESPACES),
    (RETURN, 0, 0, EPERM),
    (RETURN, 0, 0, ALLOW),
)


class Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_void_p))


def main() -> None:
    if platform.machine() != "x86_64":
        print("the filter is written for x86-64", file=sys.stderr)
        sys.exit(77)
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in PROGRAM))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = Filter(len(PROGRAM), ctypes.addressof(code))
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0):
        print(f"seccomp: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        sys.exit(77)
    os.execv(sys.argv[1], sys.argv[1:])


main()
