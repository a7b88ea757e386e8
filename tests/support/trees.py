"""Trees for tests: unpacked from archives, packed to bytes, in both ways of owning files."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from builder.layers.pack import pack_diff, pack_view
from builder.layers.tree import Owners
from builder.layers.unpack import unpack
from tests.oracle.pack import pack as twin_pack
from tests.oracle.unpack import unpack as twin_unpack

FAR = 2**40

# Owners are written for real by root only (of the machine, or of a user namespace with a range of ids).
OWNERS: list[Owners] = ["recorded", "real"] if os.geteuid() == 0 else ["recorded"]


class Native:
    """The layer functions as the builder has them."""

    name = "native"

    def unpack(self, tar: bytes, tree: Path, *, owners: Owners) -> str:
        unpack(io.BytesIO(tar), str(tree), owners=owners)
        return str(tree)

    def pack(
        self, uppers: Sequence[str], lowers: Sequence[str] = (), *, owners: Owners, clamp: int = FAR, layer: bool = True
    ) -> bytes:
        out = io.BytesIO()
        if layer:
            pack_diff(uppers[0], lowers, out, owners=owners, clamp=clamp, compression="none")
        else:
            pack_view(uppers, out, owners=owners, clamp=clamp)
        return out.getvalue()


class Twin:
    """The same in plain Python."""

    name = "twin"

    def unpack(self, tar: bytes, tree: Path, *, owners: Owners) -> str:
        twin_unpack(tar, str(tree), owners=owners)
        return str(tree)

    def pack(
        self, uppers: Sequence[str], lowers: Sequence[str] = (), *, owners: Owners, clamp: int = FAR, layer: bool = True
    ) -> bytes:
        return twin_pack(uppers, lowers, owners=owners, clamp=clamp, layer=layer)


Layers = Native | Twin
NATIVE = Native()
BOTH = pytest.mark.parametrize("layers", [NATIVE, Twin()], ids=lambda layers: layers.name)
EACH_OWNERS = pytest.mark.parametrize("owners", OWNERS)


def user_xattrs_work(directory: Path) -> bool:
    """Whether the file system holds what every tree needs."""
    try:
        os.setxattr(directory, "user.test", b"1")
    except OSError:
        return False
    return True
